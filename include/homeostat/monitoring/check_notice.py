"""The sentence of a drift check, and the notice that it sends."""

from __future__ import annotations

from collections.abc import Iterator

from homeostat.config import ModelConfig
from homeostat.core.drift import DriftReport
from homeostat.core.slices import SlicesReport
from homeostat.core.trigger import TriggerDecision, TriggerReason, WindowRecord, action_for
from homeostat.monitoring.labelled_performance import Labelled
from homeostat.ports import Notice, NoticeKind
from homeostat.rollouts.refusal_notice import retrain_story

#: So many contract findings, and slices, are named in a sentence.
_NAMED = 3


def check_sentence(
    config: ModelConfig,
    report: DriftReport,
    labelled: Labelled,
    decision: TriggerDecision,
    slices: SlicesReport | None = None,
) -> str:
    """Return the whole check in one line: inputs, performance, labels, slices, and whether to retrain."""
    action = "RETRAIN" if decision.fire else "no retrain"
    ids = f" ({labelled.ids.sentence})" if labelled.ids and labelled.ids.sentence else ""
    performance = f"performance {labelled.report.verdict}{ids}"
    parts = [_inputs(report), performance, *_slices(slices)]
    return f"{config.name}: {'; '.join(parts)}; {action}: {decision.sentence}"


def check_notice(
    config: ModelConfig,
    report: DriftReport,
    labelled: Labelled,
    decision: TriggerDecision,
    last: WindowRecord | None,
    *,
    trigger: str,
    url: str = "",
    slices: SlicesReport | None = None,
) -> Notice | None:
    """Return the notice of a check, or None.

    A fire and a check that could not be computed are notified every time; whoever sends notices sends one
    story once. A lasting condition is notified once: not when the window before had the same reason. The end
    of a condition is notified, too.

    Parameters
    ----------
    last
        The record of the window before, of the same tenure; None without one.
    trigger
        The id of the trigger of this window.
    url
        The window's page in MLflow.
    slices
        The watched slices; None without any.
    """
    found = _occasion(report, decision, last)
    if found is None:
        return None
    kind, title, story, part = found
    reason = TriggerReason(decision.reason)
    action = action_for(reason, config.name)
    if kind is NoticeKind.NOT_COMPUTABLE:
        action = action_for(TriggerReason.NO_EVIDENCE, config.name)
    elif kind is NoticeKind.TRIGGER_FIRED and action == "Nothing.":
        action = f"Nothing: follow retrain__{config.name} in Airflow."
    return Notice(
        kind,
        config.name,
        f"{config.name}: {title}",
        decision.sentence if kind is not NoticeKind.NOT_COMPUTABLE else f"{_capital(_inputs(report))}.",
        action,
        figures=(*_figures(config, report, labelled), *_slice_figures(slices)),
        links=(("MLflow", url),) if url else (),
        story=retrain_story(trigger) if story == "retrain" else story,
        part=part,
    )


def checks_run_again(config: ModelConfig, sentence: str) -> Notice:
    """Return the notice that checks, which had stopped, run again; it is sent where people know that."""
    title = f"{config.name}: drift checks run again"
    return Notice(NoticeKind.RESOLVED, config.name, title, sentence, story="checks_stopped", part="end")


#: Kind, title, story and part of a notice.
_Occasion = tuple[NoticeKind, str, str, str]


def _occasion(report: DriftReport, decision: TriggerDecision, last: WindowRecord | None) -> _Occasion | None:
    """Return what a check is to be notified for; None for nothing."""
    if decision.fire:
        return _fired(decision)
    if report.verdict == "not_computable":
        return NoticeKind.NOT_COMPUTABLE, "the drift check could not be computed", "not_computable", "begin"
    if last is None or decision.reason != last.reason:
        if decision.reason == TriggerReason.HARMLESS_DRIFT:
            title = "the inputs drifted, predictions are still good"
            return NoticeKind.HARMLESS_DRIFT, title, "harmless_drift", "begin"
        if decision.reason == TriggerReason.BACKING_OFF:
            return NoticeKind.BACKING_OFF, "retrains bring no improvement, the next one waits", "", ""
    return None if last is None else _ended(report, last)


def _fired(decision: TriggerDecision) -> _Occasion | None:
    if decision.reinstate:
        title = f"reinstating version {decision.reinstate}, which fits better today"
        return NoticeKind.TRIGGER_FIRED, title, "retrain", "begin"
    if decision.reason == TriggerReason.PROBE_DUE:
        return None  # work by the clock: its retrain is notified if it pays
    return NoticeKind.TRIGGER_FIRED, "retraining has started", "retrain", "begin"


def _ended(report: DriftReport, last: WindowRecord) -> _Occasion | None:
    """Return what has ended since the window before."""
    if last.drift == "not_computable":
        return NoticeKind.RESOLVED, "the drift check can be computed again", "not_computable", "end"
    if last.reason == TriggerReason.HARMLESS_DRIFT and report.verdict == "pass":
        return NoticeKind.RESOLVED, "the inputs have drifted back", "harmless_drift", "end"
    return None


def _figures(config: ModelConfig, report: DriftReport, labelled: Labelled) -> tuple[tuple[str, str], ...]:
    """Return what shows it: score beside baseline, drifted features, rows."""
    performance = labelled.report
    metric = performance.metric_title or config.served_metric_title
    found = []
    if performance.score is not None and performance.baseline is not None:
        found.append((metric, f"{performance.score:.3f}, baseline {performance.baseline:.3f}"))
    elif performance.estimate is not None and performance.estimate.value is not None:
        found.append(("estimated accuracy", f"{performance.estimate.value:.3f}; labels are pending"))
    else:
        found.append((metric, performance.reason or performance.verdict))
    if report.drifted_share is not None:
        names = [each.name for each in report.features if each.drifted]
        shown = f" ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})" if names else ""
        found.append(("drifted features", f"{report.drifted_share:.0%}{shown}"))
    return (*found, ("rows", str(report.rows)))


def _slice_figures(slices: SlicesReport | None) -> list[tuple[str, str]]:
    """Return score and baseline of each slice that has decayed."""
    if slices is None:
        return []
    scores = {each.name: each.performance for each in slices.results}
    return [
        (f"slice {name}", f"{slices.metric} {scores[name].score:.3f}, baseline {scores[name].baseline:.3f}")
        for name in list(slices.decayed)[:_NAMED]
    ]


def _slices(slices: SlicesReport | None) -> Iterator[str]:
    """Yield what is wrong with slices, for a sentence."""
    found = {} if slices is None else {"worse in": list(slices.decayed), "drift in": list(slices.drifted)}
    for what, names in found.items():
        if names:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"{what} slice {', '.join(names[:_NAMED])}{more}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _inputs(report: DriftReport) -> str:
    drifted = [verdict.name for verdict in report.features if verdict.verdict == "alert"]
    broken = [f"{found.column}: {found.detail}" for found in report.schema if found.severity != "info"]
    inputs = {
        "alert": f"inputs have drifted ({', '.join(drifted)})",
        "pass": "no drift of the inputs",
        "not_computable": f"inputs not computable ({report.reason})",
    }[report.verdict]
    if broken:
        more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        inputs += f", but the contract is broken ({'; '.join(broken[:_NAMED])}{more})"
    return inputs
