"""The story of a checked window: what it showed, whether it started a retrain, and why or why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from homeostat.core.drift import FeatureVerdict
from homeostat.core.trigger import TriggerReason, WindowRecord, action_for
from homeostat.explain.causes import explain_causes
from homeostat.explain.records import RetrainRecord
from homeostat.explain.retrain import gate_lines
from homeostat.explain.story import Story, count, full_stop, sections, utc
from homeostat.storage.check_records import CheckRecord

#: So many features are listed.
_LISTED = 12
#: The settings that decide in the case of each reason; docs/reasons.md names the same.
_SETTINGS = {
    TriggerReason.PERFORMANCE_DECAY_CRITICAL: ("trigger.critical_decay",),
    TriggerReason.PERFORMANCE_DECAY: ("trigger.decay",),
    TriggerReason.SUSTAINED_DECAY: ("trigger.decay", "trigger.consecutive"),
    TriggerReason.SLICE_DECAY: ("trigger.decay", "monitor.slices"),
    TriggerReason.HARMFUL_DRIFT: ("trigger.consecutive", "monitor.drifted_share"),
    TriggerReason.SUSTAINED_DRIFT: ("trigger.consecutive", "monitor.drifted_share"),
    TriggerReason.RETRAINING_PAYS: ("trigger.retrain_cost",),
    TriggerReason.PROBE_DUE: ("trigger.retrain_cost", "trigger.probes", "monitor.window"),
    TriggerReason.BELOW_BEST: ("trigger.decay",),
    TriggerReason.COOLDOWN_ACTIVE: ("trigger.cooldown",),
    TriggerReason.SAME_EPISODE: ("trigger.cooldown",),
    TriggerReason.TOO_EARLY: ("trigger.cooldown", "monitor.every", "trigger.consecutive"),
    TriggerReason.BACKING_OFF: ("trigger.cooldown", "monitor.every", "trigger.consecutive"),
    TriggerReason.HARMLESS_DRIFT: ("trigger.consecutive", "gate.max_regression"),
    TriggerReason.BUILDING: ("trigger.consecutive",),
    TriggerReason.LABELS_PENDING: ("schema.label.delay", "monitor.every"),
    TriggerReason.NO_EVIDENCE: ("monitor.min_rows", "monitor.window"),
    TriggerReason.WITHIN_TOLERANCE: ("monitor.drifted_share", "trigger.decay"),
}
_IMPACTS = {
    "shown": "Since the inputs began to drift, predictions have become worse.",
    "not_shown": "Since the inputs began to drift, predictions have not become worse.",
}


def explain_window(
    model: str,
    check: CheckRecord,
    *,
    before: Sequence[WindowRecord] = (),
    retrain: RetrainRecord | None = None,
) -> Story:
    """Tell the story of a checked window.

    Parameters
    ----------
    before
        The records of the windows before it; without them, runs of alerts are counted from this window.
    retrain
        The retrain that the window started, where it is known.
    """
    record, decision = check.record, check.trigger
    version = f", version {record.version}" if record is not None else ""
    title = f"{model}: window that ended {utc(check.window_end)} ({check.drift.rows} rows{version})"
    if record is None or decision is None:
        sentence = (
            "This check was recorded by an earlier release, which stored the drift of the inputs alone. Its"
            f" decision is in MLflow: experiment {model}/monitoring."
        )
        return Story(model, title, "", sentence, sections(("Inputs", _inputs(check))))
    started = "A retrain was started" if decision.fire else "No retrain was started"
    return Story(
        model,
        title,
        str(decision.reason),
        f"{started}. {full_stop(decision.sentence)}",
        sections(
            ("What the retrain came to", _outcome(model, retrain) if decision.fire else ()),
            ("Inputs", _inputs(check)),
            ("Predictions", _outputs(check)),
            ("Performance", _performance(check, record)),
            ("Slices", _slices(check)),
            ("What to do", (action_for(TriggerReason(decision.reason), model),)),
            ("What would start a retrain", explain_causes(record, before, check.settings)),
            ("Settings that decided", _settings(check, decision.reason)),
        ),
    )


def _outcome(model: str, retrain: RetrainRecord | None) -> Iterator[str]:
    if retrain is None:
        yield f"It has not begun, or left no record: see retrain__{model} in Airflow."
        return
    if retrain.outcome is None:
        yield "It is under way."
    else:
        yield f"{retrain.outcome.outcome}: {full_stop(retrain.outcome.sentence)}"
        if retrain.outcome.stage == "gate":
            yield from gate_lines(retrain)
    name = retrain.version or retrain.run_key
    yield f"Its whole story: homeostat explain {model} {name}"


def _inputs(check: CheckRecord) -> Iterator[str]:
    drift, settings = check.drift, check.settings
    yield f"{_VERDICTS[drift.verdict]}: {full_stop(drift.reason)}"
    listed = sorted(drift.features, key=lambda f: (not f.drifted, f.verdict == "pass", -(f.effect or 0.0)))
    shown = [each for each in listed if each.verdict != "pass"] or listed[:3]
    for feature in shown[:_LISTED]:
        yield _feature(feature)
    if len(shown) > _LISTED:
        yield f"... and {len(shown) - _LISTED} more: see the window's report in the Store."
    for finding in drift.schema:
        yield f"{finding.severity}: {finding.column}: {finding.detail}."
    if settings:
        yield (
            f"A feature drifts when its corrected p is below {settings['monitor.alpha']:g} (monitor.alpha)"
            f" and its effect is {settings['monitor.min_effect']:g} or more (monitor.min_effect). The window"
            f" alerts from {settings['monitor.drifted_share']:.0%} of the features on"
            " (monitor.drifted_share)."
        )


_VERDICTS = {
    "alert": "The inputs have drifted",
    "pass": "The inputs have not drifted",
    "not_computable": "Drift of the inputs could not be computed",
}


def _feature(feature: FeatureVerdict) -> str:
    if feature.verdict != "pass" or feature.effect is None or feature.p_adjusted is None:
        return f"{feature.name}: {feature.reason}."
    name = "KS distance" if feature.kind == "number" else "Cramer's V"
    figures = f"{name} {feature.effect:.3f}, corrected p {feature.p_adjusted:.2g}"
    return f"{feature.name}: {feature.reason} ({figures})."


def _outputs(check: CheckRecord) -> Iterator[str]:
    shifted = [each for each in check.drift.outputs if each.verdict == "alert"]
    for output in shifted:
        yield _feature(output)
    if shifted:
        yield "Drift of the predictions is shown, and starts nothing by itself."


def _performance(check: CheckRecord, record: WindowRecord) -> Iterator[str]:
    report = check.performance
    if report is None:
        return
    yield f"{_PERFORMANCE[report.verdict]}: {full_stop(report.reason)}"
    if record.score is not None:
        metric = report.metric_title or report.metric
        yield f"This window alone: {metric} {record.score:.4g} over {record.labelled_rows} labelled rows."
    yield _IMPACTS.get(record.impact, "") if record.drift == "alert" else ""
    if report.estimate is not None and record.score is None:
        known = report.estimate.value is not None
        yield f"{'Estimated' if known else 'No estimate'}: {full_stop(report.estimate.reason)}"
    if record.unlogged_labels:
        yield (
            f"{record.unlogged_labels} of the newest labels name a prediction that is not in the log: check"
            " their request ids."
        )


def _slices(check: CheckRecord) -> Iterator[str]:
    """Yield the slices that are worse, drifted or not computable; how many of the others there are."""
    report = check.slices
    if report is None:
        return
    yield full_stop(report.reason)
    told = 0
    for each in sorted(report.results, key=lambda found: found.performance.verdict != "alert"):
        verdict = each.performance.verdict
        said = [f"{_PERFORMANCE[verdict]}: {each.performance.reason}"] if verdict == "alert" else []
        said += [f"inputs drifted: {each.drift.reason}"] if each.drift.verdict == "alert" else []
        if said and told < _LISTED:
            told += 1
            yield f"{each.name}: {full_stop('; '.join(said))}"
    states = [each.performance.verdict for each in report.results]
    for verdict in ("alert", "pass", "pending", "not_computable"):
        if states.count(verdict):
            yield f"{_PERFORMANCE[verdict]}: {count(states.count(verdict), 'slice')}."


_PERFORMANCE = {
    "alert": "Worse than the baseline",
    "pass": "As good as the baseline",
    "pending": "Not known yet",
    "not_computable": "Not computable",
}


def _settings(check: CheckRecord, reason: str) -> Iterator[str]:
    for name in _SETTINGS.get(TriggerReason(reason), ()):
        if name in check.settings:
            yield f"{name}: {_plain(check.settings[name])}"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
