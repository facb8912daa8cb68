"""One drift check: contract, inputs, answers, performance, and whether it is time to retrain."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.performance import BATCHES, PerformanceReport
from homeostat.core.rollout import VersionRef
from homeostat.core.trigger import MAX_BACK_OFF, TriggerDecision, WindowRecord, decide, drifting_since, reign
from homeostat.monitoring.labelled_performance import DRIFT_WINDOWS, performance
from homeostat.monitoring.version_comparison import standing
from homeostat.monitoring.window import Looked, Window, drift_report, window_start
from homeostat.ports import Notice, Ports, Store
from homeostat.storage.bundles import load_facts, load_reference
from homeostat.storage.retrain_request import parse_time

#: The picture of drift over time, by its name among a run's artifacts.
OVER_TIME = "drift_over_time.png"


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

    MLflow need not be in reach but for the history; whoever has it mirrors the ledger first, see
    :func:`homeostat.rollouts.alias_sync`.

    Returns small, plain JSON: ``verdict``, ``rows``, ``drifted_share``, ``performance``, ``fired``,
    ``reason``, ``trigger_id``, ``window_end``, ``sentence`` and ``url``.
    """
    traffic = ports.ledger.read(config.name)
    if traffic.champion is None:
        sentence = f"{config.name} has no champion yet: start retrain__{config.name} to make the first one"
        return _answer(config, window_end, verdict="not_computable", sentence=sentence)
    champion = traffic.champion
    looked = look_at(config, ports, champion)
    history = ports.history.windows(config.name, since=window_end - lookback(config))

    facts = load_facts(ports.store, config.name, champion.digest)
    window = Window(looked, window_start(config, facts, window_end), window_end)
    report = drift_report(looked, window)
    record = WindowRecord(
        window_end=window_end,
        version=champion.version,
        rows=report.rows,
        drift=report.verdict,
        drifted_share=report.drifted_share,
        performance="pending",
        score=None,
        decay=None,
    )
    before = reign(history, record)
    labelled = performance(looked, facts, window_end, before, window, drifting_since(history, record))
    performed, batch = labelled.report, labelled.batch
    stands = standing(looked, labelled.rows, window_end)
    record = replace(
        record,
        performance=performed.verdict,
        score=batch.score if batch else None,
        labelled=batch.rows if batch else 0,
        decay=performed.decay,
        sure=performed.error is not None,
        harm=labelled.harm,
        short=performed.short,
        gain=stands.gain,
        recall=stands.recall,
    )
    decided = decide(history, record, config.trigger, pace=_pace(config))
    decision = _unless_under_way(config, ports, decided)
    record = _with(record, decision, history)

    metrics = _metrics(report, performed, record, decision)
    _remember(config, ports.store, window_end, report)
    run_id = ports.history.record(
        config.name,
        record,
        metrics=metrics,
        artifacts=_artifacts(report, performed, decision, looked, window, window_end),
    )
    answer = _answer(
        config,
        window_end,
        verdict=report.verdict,
        rows=report.rows,
        drifted_share=report.drifted_share,
        performance=performed.verdict,
        fired=decision.fire,
        reason=decision.reason,
        recall=decision.recall,
        sentence=_sentence(config, report, performed, decision),
        url=ports.registry.url(run_id=run_id),
    )
    _tell(config, ports, report, answer, before)
    return answer


def look_at(config: ModelConfig, ports: Ports, champion: VersionRef) -> Looked:
    """What windows are held against: this version's reference."""
    return Looked(config, ports, champion, load_reference(ports, config.name, champion.digest))


def trigger_id_of(config: ModelConfig, window_end: datetime) -> str:
    """The cause of a retrain, by its name: the same window is the same one, however often it is looked at."""
    return f"{config.name}/{window_end.isoformat()}"


def _pace(config: ModelConfig) -> timedelta:
    """How long it takes to see what a retrain has brought: labelled steps, as many as drift must hold for."""
    monitor, trigger = config.monitor, config.trigger
    return max(trigger.cooldown, monitor.every * trigger.consecutive)


def lookback(config: ModelConfig) -> timedelta:
    """How much history the trigger and the mean over batches can need."""
    monitor = config.monitor
    return max(monitor.every * BATCHES, monitor.window * DRIFT_WINDOWS, _pace(config) * 4 * MAX_BACK_OFF)


def _unless_under_way(config: ModelConfig, ports: Ports, decision: TriggerDecision) -> TriggerDecision:
    """Hold back while a retrain is on its way: the cure for this drift may be in the canary already."""
    if decision.repeated or not (decision.fire or decision.reason == "backing_off"):
        return decision
    holder = ports.ledger.holder(config.name, ports.clock.now())
    if holder is None:
        return decision
    sentence = f"Retrain {holder} is under way already. Without it: {decision.sentence}"
    return replace(
        decision, fire=False, reason="retrain_under_way", state="building", sentence=sentence, recall=""
    )


def _with(record: WindowRecord, decision: TriggerDecision, history: Sequence[WindowRecord]) -> WindowRecord:
    """The record with its decision. A window that fired did so under the champion of then, not of today."""
    record = replace(record, fired=decision.fire, reason=decision.reason)
    if not decision.repeated:
        return record
    version = next(r.version for r in history if r.fired and r.window_end == record.window_end)
    return replace(record, version=version, recall=decision.recall)


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


def _remember(config: ModelConfig, store: Store, end: datetime, report: DriftReport) -> None:
    """Keep the report beside those of the windows before."""
    text = json.dumps({"window_end": end.isoformat(), **report.to_json()}, allow_nan=False)
    store.put(_report_key(config, end), text.encode(), overwrite=True)


def drift_over_time(config: ModelConfig, store: Store, end: datetime) -> bytes:
    """The picture of the last reports up to the window that ends here, as PNG."""
    from homeostat import figures

    last = _report_key(config, end)
    keys = [key for key in store.list(f"reports/{config.name}/") if key <= last]
    return figures.drift_over_time([json.loads(store.get(key)) for key in keys[-48:]])


def _report_key(config: ModelConfig, end: datetime) -> str:
    return f"reports/{config.name}/{end:%Y-%m-%dT%H%M%S}.json"


def _artifacts(
    report: DriftReport,
    performance: PerformanceReport,
    decision: TriggerDecision,
    looked: Looked,
    window: Window,
    end: datetime,
) -> dict[str, bytes]:
    whole = {"drift": report.to_json(), "performance": performance.to_json(), "trigger": decision.to_json()}
    written = {"report.json": json.dumps(whole, indent=1, allow_nan=False).encode()}
    if not looked.ports.pictures:
        return written
    from homeostat import figures

    against = looked.reference.against(window.per_slot)
    return {
        **written,
        OVER_TIME: drift_over_time(looked.config, looked.ports.store, end),
        "reference_against_window.png": figures.reference_vs_window(against, window.rows, report),
    }


def _sentence(
    config: ModelConfig, report: DriftReport, performance: PerformanceReport, decision: TriggerDecision
) -> str:
    drifted = [verdict.name for verdict in report.features if verdict.verdict == "alert"]
    broken = [f"{found.column}: {found.detail}" for found in report.schema if found.severity != "info"]
    inputs = {
        "alert": f"inputs have drifted ({', '.join(drifted)})",
        "pass": "no drift of the inputs" if broken else "inputs as expected",
        "not_computable": f"inputs not computable ({report.reason})",
    }[report.verdict]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        inputs += f", but the contract is broken ({'; '.join(broken[:3])}{more})"
    action = "RETRAIN" if decision.fire else "no retrain"
    return f"{config.name}: {inputs}; performance {performance.verdict}; {action}: {decision.sentence}"


def _answer(config: ModelConfig, window_end: datetime, **found: Any) -> dict[str, Any]:
    blank = {
        "rows": 0,
        "drifted_share": None,
        "performance": "pending",
        "fired": False,
        "reason": "",
        "recall": "",
        "url": "",
    }
    return {
        "model": config.name,
        "window_end": window_end.isoformat(),
        "trigger_id": trigger_id_of(config, window_end),
        **blank,
        **found,
    }


def _tell(
    config: ModelConfig,
    ports: Ports,
    report: DriftReport,
    answer: dict[str, Any],
    before: Sequence[WindowRecord],
) -> None:
    """Tell people what may keep them awake, and what lasts only once."""
    told = before[-1].reason if before else ""
    kind, title = "", ""
    if answer["fired"]:
        kind, title = "trigger_fired", f"{config.name} has gone stale and is being retrained"
        if answer["recall"]:
            title = f"{config.name}: version {answer['recall']} fits better today and is tried again"
    elif report.verdict == "not_computable":
        kind, title = "not_computable", f"{config.name}: the drift check could not be computed"
    elif answer["reason"] != told and answer["reason"] == "harmless_drift":
        kind, title = "drift_harmless", f"{config.name}: the inputs have shifted, the answers do not suffer"
    elif answer["reason"] != told and answer["reason"] == "backing_off":
        kind, title = "backing_off", f"{config.name}: retraining does not help, and is tried less often"
    if kind:
        ports.notifier.notify(config.notify, Notice(kind, config.name, title, answer["sentence"]))
