"""Findings about the checks: scores, drift, the schema of the requests, and checks that are missing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from homeostat.config.duration import describe_duration
from homeostat.core.model_health.record import ModelFacts
from homeostat.core.model_health.states import Finding, HealthState, as_sentence
from homeostat.core.model_health.window_summary import WindowSummary

#: A model counts as unchecked after so many periods of ``monitor.every`` without a check.
MAX_MISSED_CHECKS = 3
#: So many drifted features are named in a sentence.
_NAMED = 3


def failing(facts: ModelFacts) -> Iterator[Finding]:
    """The last score with a verdict is an alert."""
    newest = facts.newest
    if newest is None or _replaced(facts, newest):
        return
    report = newest.performance
    verdict = newest.runs.scored_verdict if report.verdict == "pending" else report.verdict
    if verdict != "alert":
        return
    figures = ""
    if report.score is not None and report.baseline is not None:
        figures = (
            f": {report.metric_title or report.metric} {report.score:.3g}, expected {report.baseline:.3g}"
        )
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
    if newest is None or _replaced(facts, newest) or newest.record.performance == "alert":
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


def unchecked(facts: ModelFacts) -> Iterator[Finding]:
    """Checks are missing."""
    champion = facts.traffic.champion
    if champion is None:
        return
    newest, promoted = facts.newest, facts.traffic.promoted_at
    every = newest.every if newest else timedelta(hours=1)
    last = max((at for at in (newest and newest.checked_at, promoted) if at), default=None)
    if last is None or facts.now - last <= MAX_MISSED_CHECKS * every:
        return
    when = (
        f"the last one was at {last:%Y-%m-%d %H:%M} UTC" if newest else "there was none since the promotion"
    )
    yield Finding(
        HealthState.UNCHECKED,
        f"No drift check for {describe_duration(facts.now - last)}.",
        since=last,
        why=(f"A check is due every {describe_duration(every)} (monitor.every); {when}.",),
        left=f"See drift_check__{facts.name} in Airflow: is it paused or failing, or is the scheduler down?",
        settings=("monitor.every",),
    )


def suspect(facts: ModelFacts) -> Iterator[Finding]:
    """Labels are pending, and the estimate is below the baseline by more than ``trigger.decay``."""
    newest = facts.newest
    estimate = newest.performance.estimate if newest else None
    if (
        newest is None
        or estimate is None
        or newest.performance.verdict != "pending"
        or _replaced(facts, newest)
    ):
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


def not_computable(facts: ModelFacts) -> Iterator[Finding]:
    """The last window could not be computed."""
    newest = facts.newest
    if newest is None:
        return
    record, report = newest.record, newest.performance
    if record.drift == "not_computable":
        yield Finding(
            HealthState.NOT_COMPUTABLE,
            f"The drift of the last window could not be computed: {newest.drift_reason.strip(' .')}.",
            since=record.window_end,
            left="Check that requests reach the gateway and that its prediction log is written.",
            settings=("monitor.min_rows", "monitor.window"),
        )
    elif report.verdict == "not_computable":
        yield Finding(
            HealthState.NOT_COMPUTABLE,
            f"How well the model predicts could not be computed: {report.reason.strip(' .')}.",
            since=record.window_end,
            left="Check that labels arrive with the ids of their predictions.",
            settings=("monitor.min_rows",),
        )


def drifting(facts: ModelFacts) -> Iterator[Finding]:
    """The inputs have drifted."""
    newest = facts.newest
    if newest is None or newest.record.drift != "alert" or _replaced(facts, newest):
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


def unproven(facts: ModelFacts) -> Iterator[Finding]:
    """No label has shown yet how well the champion predicts."""
    newest = facts.newest
    if facts.traffic.champion is None:
        return
    if newest is None or _replaced(facts, newest):
        sentence = f"Version {facts.traffic.champion.version} has not been checked yet."
        yield Finding(HealthState.UNPROVEN, sentence, since=facts.traffic.promoted_at)
        return
    report = newest.performance
    if report.verdict != "pending" or newest.runs.scored_at:
        return
    if report.estimate is not None and report.estimate.value is not None:
        return
    why = (as_sentence(report.estimate.reason),) if report.estimate is not None else ()
    yield Finding(
        HealthState.UNPROVEN,
        "No label of this version has arrived yet: how well it predicts is not known.",
        since=facts.traffic.promoted_at,
        why=why,
        settings=("schema.label.delay",),
    )


def healthy(facts: ModelFacts) -> Finding:
    """Nothing holds: say by which figures, so that the reader sees how old they are."""
    newest = facts.newest
    if newest is None:
        return Finding(HealthState.HEALTHY, "No fault is known.")
    report = newest.performance
    known = "Inputs are as in the reference"
    name = report.metric_title or report.metric
    if report.score is not None and report.baseline is not None and newest.runs.scored_at:
        known += f", and {name} is {report.score:.3g}, expected {report.baseline:.3g}"
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


def _replaced(facts: ModelFacts, newest: WindowSummary) -> bool:
    """Whether the newest window is of a version that is champion no more."""
    champion = facts.traffic.champion
    return champion is not None and champion.version != newest.record.version


def _left_of_alert(facts: ModelFacts, newest: WindowSummary) -> str:
    """Return what a person must do about an alert: nothing while a retrain or a rollout is under way."""
    if facts.holder or facts.traffic.active or newest.record.fired:
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
