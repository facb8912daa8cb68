"""Findings about the traffic: what is served, rollouts, and retrains."""

from __future__ import annotations

from collections.abc import Iterator

from homeostat.core.model_health.record import ModelFacts
from homeostat.core.model_health.states import Finding, HealthState, as_sentence
from homeostat.core.rollout import Phase, describe_phase, phase_place, share_text
from homeostat.core.rollout.served import ServedState


def down(facts: ModelFacts) -> Iterator[Finding]:
    """No version serves, or another one than the champion."""
    served, traffic = facts.served, facts.traffic
    rollout = traffic.rollout
    if served is not None and served.state in (
        ServedState.NOT_LOADED,
        ServedState.REFUSED,
        ServedState.FALLBACK,
    ):
        fix = "Read why in the gateway's log and fix it"
        back = f", or go back: homeostat rollback {facts.name}" if traffic.previous else ""
        yield Finding(
            HealthState.DOWN,
            as_sentence(served.sentence),
            since=rollout.entered_at if rollout else None,
            left=f"{fix}{back}.",
        )
    elif traffic.champion is None and rollout is not None and rollout.phase is Phase.ROLLED_BACK:
        sentence = f"No version serves: version {rollout.candidate.version} was refused."
        again = f"Fix the cause, then retrain: homeostat retrain {facts.name}"
        yield Finding(HealthState.DOWN, sentence, rollout.entered_at, (as_sentence(rollout.reason),), again)


def stuck(facts: ModelFacts) -> Iterator[Finding]:
    """The last retrain failed, or was not allowed to train, and none runs."""
    last = facts.retrain
    if last is None or facts.retraining or not (last.outcome == "failed" or last.stage == "environment"):
        return
    promoted = facts.traffic.promoted_at
    if promoted is not None and promoted > last.at:
        return
    yield Finding(
        HealthState.STUCK,
        "The last retrain was refused before its training."
        if last.outcome == "refused"
        else f"The last retrain failed in the step {last.stage}.",
        since=last.at,
        why=(as_sentence(last.sentence, facts.name),),
        left=f"Fix the cause, then start retrain__{facts.name} again.",
    )


def waiting(facts: ModelFacts) -> Iterator[Finding]:
    """A candidate waits for approval."""
    rollout = facts.traffic.active
    if rollout is None or rollout.phase is not Phase.WAITING:
        return
    version = rollout.candidate.version
    yield Finding(
        HealthState.WAITING,
        f"Version {version} passed its checks and waits for a person.",
        since=rollout.entered_at,
        why=(as_sentence(rollout.reason),),
        left=f"Approve it (homeostat promote {facts.name}) or refuse it (homeostat rollback {facts.name}).",
        settings=("approval",),
    )


def empty(facts: ModelFacts) -> Iterator[Finding]:
    """No version was ever trained."""
    traffic = facts.traffic
    if traffic.champion is not None or facts.retraining or traffic.active:
        return
    if traffic.rollout is not None and traffic.rollout.phase is Phase.ROLLED_BACK:
        return
    start = f"Start one: homeostat retrain {facts.name}, or retrain__{facts.name} in Airflow."
    yield Finding(HealthState.EMPTY, "There is no version yet.", left=start)


def rolling_out(facts: ModelFacts) -> Iterator[Finding]:
    """A candidate is in its rollout."""
    rollout = facts.traffic.active
    if rollout is None or rollout.phase is Phase.WAITING:
        return
    share = f" with {share_text(rollout.share)} of the traffic" if rollout.share else ""
    where = "registered and waits until a gateway has loaded it"
    if rollout.phase is not Phase.REGISTERED:
        where = f"{phase_place(rollout)}{share}"
    yield Finding(
        HealthState.ROLLING_OUT,
        f"Version {rollout.candidate.version} is {where}.",
        since=rollout.entered_at,
        why=(describe_phase(rollout), as_sentence(rollout.reason)),
        settings=("shadow.duration", "canary.steps", "canary.step_duration"),
    )


def retraining(facts: ModelFacts) -> Iterator[Finding]:
    """A retrain holds the lease, and neither it nor its rollout has ended."""
    if facts.retraining and facts.traffic.active is None:
        yield Finding(HealthState.RETRAINING, "A retrain is running.")
