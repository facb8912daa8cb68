"""Findings about what is not known: checks that are missing, cannot be computed, or have no label yet."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from homeostat.config.duration import describe_duration
from homeostat.core.model_health.record import ModelFacts
from homeostat.core.model_health.states import Finding, HealthState, as_sentence
from homeostat.core.trigger import silent_after


def unchecked(facts: ModelFacts) -> Iterator[Finding]:
    """Checks are missing."""
    champion = facts.traffic.champion
    if champion is None:
        return
    newest, promoted = facts.newest, facts.traffic.promoted_at
    every = newest.every if newest else timedelta(hours=1)
    last = max((at for at in (newest and newest.checked_at, promoted) if at), default=None)
    if last is None or facts.now - last <= silent_after(every):
        return
    when = (
        f"the last one was at {last:%Y-%m-%d %H:%M} UTC" if newest else "there was none since the promotion"
    )
    yield Finding(
        HealthState.UNCHECKED,
        f"No drift check for {describe_duration(facts.now - last)}.",
        since=last,
        why=(
            f"A check is due every {describe_duration(every)} (monitor.every); {when}.",
            f"Checks count as stopped after {describe_duration(silent_after(every))}.",
        ),
        left=f"See drift_check__{facts.name} in Airflow: is it paused or failing, or is the scheduler down?",
        settings=("monitor.every",),
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


def unproven(facts: ModelFacts) -> Iterator[Finding]:
    """No label has shown yet how well the champion predicts."""
    newest = facts.newest
    if facts.traffic.champion is None:
        return
    if newest is None or facts.replaced:
        sentence = f"Version {facts.traffic.champion.version} has not been checked {_since_champion(facts)}."
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
        f"No label of version {facts.traffic.champion.version} has arrived {_since_champion(facts)}: "
        "how well it predicts now is not known.",
        since=facts.traffic.promoted_at,
        why=why,
        settings=("schema.label.delay",),
    )


def _since_champion(facts: ModelFacts) -> str:
    """Return since when: the version may have been champion, and have had labels, before."""
    promoted = facts.traffic.promoted_at
    return f"since it became champion at {promoted:%Y-%m-%d %H:%M} UTC" if promoted else "yet"
