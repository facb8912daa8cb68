"""Findings about what the checks found: scores, drift, and the schema of the requests."""

from __future__ import annotations

from collections.abc import Iterator

from homeostat.core.model_health.record import ModelFacts
from homeostat.core.model_health.score_text import describe_score
from homeostat.core.model_health.states import Finding, HealthState, as_sentence
from homeostat.core.model_health.window_summary import WindowSummary

#: So many drifted features are named in a sentence.
_NAMED = 3


def failing(facts: ModelFacts) -> Iterator[Finding]:
    """The last score with a verdict is an alert."""
    newest = facts.newest
    if newest is None or facts.replaced:
        return
    report = newest.performance
    verdict = newest.runs.scored_verdict if report.verdict == "pending" else report.verdict
    if verdict != "alert":
        return
    figures = ""
    if report.score is not None and report.baseline is not None:
        figures = f": {describe_score(report, newest.record.score)}, expected {report.baseline:.3g}"
    yield Finding(
        HealthState.FAILING,
        f"Predictions have become worse{figures}.",
        since=newest.runs.decay_since,
        why=(as_sentence(report.reason),),
        left=_left_of_alert(facts, newest),
        settings=("trigger.decay", "trigger.critical_decay", "trigger.cooldown"),
    )


def failing_slice(facts: ModelFacts) -> Iterator[Finding]:
    """Predictions of a slice have become worse, those of the whole have not."""
    newest = facts.newest
    if newest is None or facts.replaced or newest.record.performance == "alert":
        return
    decayed = newest.record.decayed_slices
    if not decayed:
        return
    metric = newest.slices.metric if newest.slices else ""
    scores = {each.name: each.performance for each in (newest.slices.results if newest.slices else ())}
    shown = list(decayed)[:_NAMED]
    for at, name in enumerate(shown):
        if (score := scores.get(name)) and score.score is not None:
            shown[at] += f" ({metric} {score.score:.3g}, expected {score.baseline:.3g})"
    more = f" and {len(decayed) - _NAMED} more" if len(decayed) > _NAMED else ""
    yield Finding(
        HealthState.FAILING_SLICE,
        f"Predictions have become worse in a part of the rows: {', '.join(shown)}{more}.",
        since=newest.runs.slices_since,
        why=tuple(
            as_sentence(f"{name}: {scores[name].reason}") for name in list(decayed)[:_NAMED] if name in scores
        ),
        left=_left_of_alert(facts, newest),
        settings=("monitor.slices", "trigger.decay"),
    )


def suspect(facts: ModelFacts) -> Iterator[Finding]:
    """Labels are pending, and the estimate is below the baseline by more than ``trigger.decay``."""
    newest = facts.newest
    estimate = newest.performance.estimate if newest else None
    if newest is None or estimate is None or newest.performance.verdict != "pending" or facts.replaced:
        return
    limit = _number(newest.settings.get("trigger.decay", ""))
    if estimate.high is None or estimate.baseline is None or limit is None:
        return
    if estimate.high > estimate.baseline - limit or newest.runs.scored_verdict == "alert":
        return  # not lower, or known from labels already
    yield Finding(
        HealthState.SUSPECT,
        f"Labels are pending; the estimated accuracy is {estimate.value:.3g} "
        f"({estimate.low:.3g} to {estimate.high:.3g}), expected {estimate.baseline:.3g}.",
        since=newest.runs.drift_since or newest.record.window_end,
        why=("The estimate comes from the confidence of the predictions; it starts no retrain.",),
        left="Send labels sooner, or check the drifted features for a broken source.",
        settings=("trigger.decay",),
    )


def broken_input(facts: ModelFacts) -> Iterator[Finding]:
    """Requests break the schema."""
    newest = facts.newest
    if newest is None or not newest.findings:
        return
    first, more = newest.findings[0], len(newest.findings) - 1
    also = f", and {more} more" if more else ""
    yield Finding(
        HealthState.BROKEN_INPUT,
        f"Requests break the schema of model.yaml: {first}{also}.",
        since=newest.runs.drift_since,
        why=tuple(map(as_sentence, newest.findings[: _NAMED + 1])),
        left="Fix the data source or the client, or change schema.features. A retrain does not help.",
        settings=("monitor.max_missing", "monitor.max_unseen"),
    )


def drifting(facts: ModelFacts) -> Iterator[Finding]:
    """The inputs have drifted."""
    newest = facts.newest
    if newest is None or newest.record.drift != "alert" or facts.replaced:
        return
    record = newest.record
    drifted = sorted(
        (name for name, e in newest.features.items() if e.verdict == "alert"),
        key=lambda name: -(newest.features[name].effect or 0.0),
    )
    named = ", ".join(drifted[:_NAMED]) + (f" and {len(drifted) - _NAMED} more" if drifted[_NAMED:] else "")
    harm = {
        "shown": ", and predictions have become worse",
        "not_shown": ", but predictions have not become worse",
        "unknown": "; whether predictions suffer is not known yet",
    }[record.impact]
    yield Finding(
        HealthState.DRIFTING,
        f"The inputs have drifted{f' ({named})' if named else ''}{harm}.",
        since=newest.runs.drift_since,
        why=(
            as_sentence(newest.drift_reason),
            *(
                f"{name}: {newest.features[name].reason}."
                for name in drifted[:_NAMED]
                if newest.features[name].reason
            ),
        ),
        left=_left_of_alert(facts, newest) if record.impact != "not_shown" else "",
        settings=("monitor.drifted_share", "monitor.min_effect", "monitor.alpha", "trigger.consecutive"),
    )


def healthy(facts: ModelFacts) -> Finding:
    """Nothing holds: say by which figures, so that the reader sees how old they are."""
    newest = facts.newest
    if newest is None:
        return Finding(HealthState.HEALTHY, "No fault is known.")
    report = newest.performance
    known = "Inputs are as in the reference"
    if report.score is not None and report.baseline is not None and newest.runs.scored_at:
        known += f"; {describe_score(report, newest.record.score)}, expected {report.baseline:.3g}"
        if report.verdict == "pending":
            known += f" (labels up to the window of {newest.runs.scored_at:%Y-%m-%d %H:%M} UTC)"
    elif report.estimate is not None and report.estimate.value is not None:
        known += f"; labels are pending, the estimated accuracy is {report.estimate.value:.3g}"
    return Finding(
        HealthState.HEALTHY,
        f"{known}.",
        since=facts.traffic.promoted_at,
        why=tuple(filter(None, (as_sentence(newest.drift_reason), as_sentence(report.reason)))),
        settings=("monitor.every", "monitor.drifted_share", "trigger.decay"),
    )


def _left_of_alert(facts: ModelFacts, newest: WindowSummary) -> str:
    """Return what a person must do about an alert: nothing while a retrain or a rollout is under way."""
    if facts.retraining or facts.traffic.active or newest.record.fired:
        return ""
    last = facts.retrain
    if last is not None and last.outcome == "refused" and last.stage != "environment":
        return (
            "Retrains have not helped: check the data source and the labels, or go back to another version: "
            f"homeostat promote {facts.name} VERSION"
        )
    return ""


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
