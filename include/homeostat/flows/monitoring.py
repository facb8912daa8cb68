"""One drift check: contract, inputs, answers, performance, and whether it is time to retrain.

The window is added up from profiles of its steps, each counted once and kept in the Store, so that a check
costs what its new rows cost, however long the window is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.config.labels import label_texts
from homeostat.drift import DriftReport, SchemaFinding, compare, schema_check
from homeostat.flows import log
from homeostat.flows.mirror import mirror
from homeostat.flows.request import parse_time
from homeostat.flows.versions import load_facts, load_reference
from homeostat.performance import BatchScore, PerformanceReport, all_metrics, assess
from homeostat.ports import Notice, Ports, Store
from homeostat.profile import Profile, Reference, count
from homeostat.rollout import VersionRef
from homeostat.trigger import TriggerDecision, WindowRecord, decide

#: Fewer labelled rows than this say nothing about performance.
MIN_LABELLED = 30
#: How many batches performance looks back over.
BATCHES = 10
OUTPUTS = ("prediction", "confidence")


def window_end_of(config: ModelConfig, asked: datetime | str) -> datetime:
    """The end of the window to check: a time as given, or the last whole ``monitor.every`` before now.

    A string is taken as it stands (a person re-checks the past); a datetime is rounded down.
    """
    if isinstance(asked, str):
        return parse_time(asked, "window_end")
    epoch = datetime(1970, 1, 5, tzinfo=UTC)  # a Monday, so that weekly windows begin with the week
    return asked - (asked - epoch) % config.monitor.every


def check_drift(config: ModelConfig, ports: Ports, window_end: datetime) -> dict[str, Any]:
    """Check the window that ends at ``window_end``; a second check of it replaces the first.

    Returns small, plain JSON: ``verdict``, ``drifted_share``, ``performance``, ``fired``, ``reason``,
    ``trigger_id``, ``window_end``, ``sentence`` and ``url``.
    """
    mirror(config, ports)
    traffic = ports.ledger.read(config.name)
    if traffic.champion is None:
        sentence = f"{config.name} has no champion yet: start retrain__{config.name} to make the first one"
        return _answer(config, window_end, verdict="not_computable", sentence=sentence)
    champion = traffic.champion
    reference = load_reference(ports.store, config.name, champion.digest)
    history = ports.history.windows(config.name, since=window_end - _lookback(config))

    facts = load_facts(ports.store, config.name, champion.digest)
    window = _Window(
        _Looked(config, ports.store, champion, reference), _start(config, facts, window_end), window_end
    )
    report = _drift(config, reference, window)
    performance, batch = _performance(config, ports.store, champion, facts, window_end, history)
    record = WindowRecord(
        window_end=window_end,
        version=champion.version,
        rows=report.rows,
        drift=report.verdict,
        drifted_share=report.drifted_share,
        performance=performance.verdict,
        score=batch.score if batch else None,
        decay=performance.decay,
    )
    decision = decide(history, record, config.trigger)
    record = _with(record, decision)

    metrics = _metrics(report, performance, record, decision)
    reports = _remember(config, ports.store, window_end, report)
    run_id = ports.history.record(
        config.name,
        record,
        metrics=metrics,
        artifacts=_artifacts(reports, report, performance, decision, reference, window),
    )
    answer = _answer(
        config,
        window_end,
        verdict=report.verdict,
        drifted_share=report.drifted_share,
        performance=performance.verdict,
        fired=decision.fire,
        reason=decision.reason,
        sentence=_sentence(config, report, performance, decision),
        url=ports.registry.url(run_id=run_id),
    )
    _tell(config, ports, report, answer)
    return answer


def _start(config: ModelConfig, facts: Mapping[str, Any], end: datetime) -> datetime:
    """The window's start; never before the champion's own data end, which it knows already.

    Otherwise a version that learnt a new world would be told for a whole window's length that the old
    one looks different.
    """
    start = end - config.monitor.window
    known = facts.get("trained_until")
    return max(start, datetime.fromisoformat(known)) if known else start


def _lookback(config: ModelConfig) -> timedelta:
    """How much history the trigger and the mean over batches can need."""
    monitor, trigger = config.monitor, config.trigger
    return (
        max(monitor.every * (BATCHES + trigger.consecutive), trigger.cooldown + monitor.every) + monitor.every
    )


@dataclass(frozen=True, slots=True)
class _Looked:
    """What a check holds the window against, and where its rows lie."""

    config: ModelConfig
    store: Store
    champion: VersionRef
    reference: Reference


class _Window:
    """The window's profiles: over all served rows, and over the champion's answers only."""

    def __init__(self, looked: _Looked, start: datetime, end: datetime) -> None:
        self.rows = Profile.empty(looked.reference.frames)
        self.answers = Profile.empty(looked.reference.frames)
        self.findings: dict[tuple[str, str], SchemaFinding] = {}
        self.torn: list[str] = []
        step_end = end
        while step_end > start:
            step = max(start, step_end - looked.config.monitor.every)
            self._add(looked, step, step_end)
            step_end = step

    def _add(self, looked: _Looked, start: datetime, end: datetime) -> None:
        """Add one step's counts; they are kept under the names of the files that they come from."""
        model, store, frames = looked.config.name, looked.store, looked.reference.frames
        files = log.files_between(store, model, "predictions", start, end)
        if not files:
            return
        source = hashlib.sha256("\n".join((looked.champion.version, *files)).encode()).hexdigest()[:16]
        name = f"profiles/{model}/{frames.digest[:16]}/{start:%Y-%m-%dT%H%M%S}-{source}"
        try:
            notes = json.loads(store.get(f"{name}.json"))
            rows = Profile.from_bytes(store.get(f"{name}-rows.bin"), frames)
            answers = Profile.from_bytes(store.get(f"{name}-answers.bin"), frames)
        except NotFound:
            read = log.read_predictions(store, looked.config, start, end, files=files)
            rows, answers = _count(looked, read.rows)
            notes = {"findings": _findings(looked.config, read.rows), "torn": list(read.torn)}
            store.put(f"{name}-rows.bin", rows.to_bytes(), overwrite=True)
            store.put(f"{name}-answers.bin", answers.to_bytes(), overwrite=True)
            store.put(f"{name}.json", json.dumps(notes).encode(), overwrite=True)
        self.rows += rows
        self.answers += answers
        for finding in (SchemaFinding(**found) for found in notes["findings"]):
            self.findings[finding.column, finding.kind] = finding
        self.torn += notes["torn"]


def _count(looked: _Looked, rows: pd.DataFrame) -> tuple[Profile, Profile]:
    """Counts over all served rows, and over those that the champion's version answered."""
    frames = looked.reference.frames
    frame = rows[list(looked.config.feature_names)].copy()
    frame["prediction"] = rows["_prediction"]
    frame["confidence"] = rows["_confidence"]
    mine = (rows["_version"] == looked.champion.version).to_numpy()
    everything = count(frames, frame)
    return everything, everything if mine.all() else count(frames, frame[mine])


def _findings(config: ModelConfig, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Where the step's rows break the contract; columns that nobody knows were noted by the gateway."""
    extra = {name for text in rows["_extra"].dropna().unique() for name in text.split(",") if name}
    frame = rows[list(config.feature_names)].assign(**dict.fromkeys(sorted(extra)))
    return [asdict(finding) for finding in schema_check(frame, config)] if len(rows) else []


def _drift(config: ModelConfig, reference: Reference, window: _Window) -> DriftReport:
    """Inputs over all rows, answers over the champion's own."""
    rows = compare(reference.profile, window.rows, config.monitor)
    answers = compare(reference.profile, window.answers, config.monitor)
    return replace(rows, outputs=answers.outputs, schema=tuple(window.findings.values()))


def _performance(
    config: ModelConfig,
    store: Store,
    champion: VersionRef,
    facts: Mapping[str, Any],
    end: datetime,
    history: Sequence[WindowRecord],
) -> tuple[PerformanceReport, BatchScore | None]:
    """Score the newest step whose labels should be there, and hold it to the baseline."""
    metric = monitored_metric(config)
    known = end - config.columns.label.delay
    rows = log.read_labelled(store, config, known - config.monitor.every, known, known_by=end)
    rows = rows[rows["_version"] == champion.version]
    baseline = facts.get("metrics", {}).get(metric)
    batch = None
    if len(rows) >= MIN_LABELLED:
        label = rows[config.columns.label.name]
        truth = label.to_numpy() if config.task == "regression" else label_texts(label)
        answer = rows["_prediction"]
        scores = all_metrics(config.task, truth, answer.to_numpy(), None)
        batch = BatchScore(end, scores[metric], len(rows))
    before = [
        BatchScore(record.window_end, record.score, record.rows)
        for record in history
        if record.version == champion.version and record.score is not None and record.window_end < end
    ]
    scores_so_far = [*before[-(BATCHES - 1) :], *([batch] if batch else [])]
    return assess(config, baseline, scores_so_far, pending=batch is None), batch


def monitored_metric(config: ModelConfig) -> str:
    """The gate's metric where served answers alone can give it, otherwise accuracy.

    The log keeps the answer and its confidence, not every class's probability.
    """
    needs_probabilities = config.metric in ("roc_auc", "log_loss")
    return "accuracy" if needs_probabilities else config.metric


def _with(record: WindowRecord, decision: TriggerDecision) -> WindowRecord:
    return replace(record, fired=decision.fire, reason=decision.reason)


def _metrics(
    report: DriftReport, performance: PerformanceReport, record: WindowRecord, decision: TriggerDecision
) -> dict[str, float]:
    """What MLflow charts: one series per feature, so that two windows can be compared by eye."""
    metrics: dict[str, float | None] = {
        "rows": report.rows,
        "drifted_share": report.drifted_share,
        "decay": performance.decay,
        "score": record.score,
        "fired": float(decision.fire),
        "windows_in_a_row": float(decision.consecutive),
    }
    for verdict in (*report.features, *report.outputs):
        metrics[f"effect.{verdict.name}"] = verdict.effect
        metrics[f"psi.{verdict.name}"] = verdict.psi
    return {name: float(value) for name, value in metrics.items() if value is not None}


def _remember(config: ModelConfig, store: Store, end: datetime, report: DriftReport) -> list[dict[str, Any]]:
    """Keep the report beside those of the windows before; returns the last of them, this one included."""
    folder = f"reports/{config.name}/"
    key = f"{folder}{end:%Y-%m-%dT%H%M%S}.json"
    text = json.dumps({"window_end": end.isoformat(), **report.to_json()}, allow_nan=False)
    store.put(key, text.encode(), overwrite=True)
    keys = [name for name in store.list(folder) if name <= key]
    return [json.loads(store.get(name)) for name in keys[-48:]]


def _artifacts(
    reports: Sequence[dict[str, Any]],
    report: DriftReport,
    performance: PerformanceReport,
    decision: TriggerDecision,
    reference: Reference,
    window: _Window,
) -> dict[str, bytes]:
    from homeostat.training import figures

    whole = {"drift": report.to_json(), "performance": performance.to_json(), "trigger": decision.to_json()}
    return {
        "report.json": json.dumps(whole, indent=1, allow_nan=False).encode(),
        "drift_over_time.png": figures.drift_over_time(reports),
        "reference_against_window.png": figures.reference_vs_window(reference.profile, window.rows, report),
    }


def _sentence(
    config: ModelConfig, report: DriftReport, performance: PerformanceReport, decision: TriggerDecision
) -> str:
    drifted = [verdict.name for verdict in report.features if verdict.verdict == "alert"]
    inputs = {
        "alert": f"inputs have drifted ({', '.join(drifted)})",
        "pass": "inputs as expected",
        "not_computable": f"inputs not computable ({report.reason})",
    }[report.verdict]
    action = "RETRAIN" if decision.fire else "no retrain"
    return f"{config.name}: {inputs}; performance {performance.verdict}; {action}: {decision.sentence}"


def _answer(config: ModelConfig, window_end: datetime, **found: Any) -> dict[str, Any]:
    blank = {"drifted_share": None, "performance": "pending", "fired": False, "reason": "", "url": ""}
    return {
        "model": config.name,
        "window_end": window_end.isoformat(),
        "trigger_id": f"{config.name}/{window_end.isoformat()}",
        **blank,
        **found,
    }


def _tell(config: ModelConfig, ports: Ports, report: DriftReport, answer: dict[str, Any]) -> None:
    if answer["fired"]:
        title = f"{config.name} has gone stale and is being retrained"
        ports.notifier.notify(config.notify, Notice("trigger_fired", config.name, title, answer["sentence"]))
    elif report.verdict == "not_computable":
        title = f"{config.name}: the drift check could not be computed"
        ports.notifier.notify(config.notify, Notice("not_computable", config.name, title, answer["sentence"]))
