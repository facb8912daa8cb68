"""What happens next to a model, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from homeostat.config.duration import describe_duration
from homeostat.core.model_health.record import ModelFacts
from homeostat.core.rollout import Phase, Rollout, share_text
from homeostat.core.trigger import LEAST_SILENCE

#: A window that was checked so many periods after its end was replayed.
_REPLAYED = 24


@dataclass(frozen=True, slots=True)
class Upcoming:
    """An event to come; ``at`` is the soonest time, None where no clock decides."""

    sentence: str
    at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"at": self.at.isoformat() if self.at else None, "sentence": self.sentence}


def upcoming(facts: ModelFacts) -> list[Upcoming]:
    """Return what comes, the soonest first; what no clock decides comes first of all."""
    found = [*_rollout(facts), *_retrain(facts), *_check(facts)]
    never = datetime.min.replace(tzinfo=facts.now.tzinfo)
    return sorted(found, key=lambda each: each.at or never)


def _rollout(facts: ModelFacts) -> list[Upcoming]:
    rollout = facts.traffic.active
    if rollout is None:
        last = facts.traffic.rollout
        until = last.reverse_shadow_until if last is not None else None
        if until is None or until <= facts.now:
            return []
        return [Upcoming("The former champion stops predicting in shadow.", until)]
    version = rollout.candidate.version
    if rollout.phase is Phase.WAITING:
        return [Upcoming(f"Version {version} becomes champion when a person approves it.")]
    if rollout.phase is Phase.REGISTERED:
        return [Upcoming(f"Version {version} begins its rollout as soon as a gateway has loaded it.")]
    return [Upcoming(_next_phase(rollout), rollout.entered_at + _duration(rollout))]


def _next_phase(rollout: Rollout) -> str:
    plan, version = rollout.plan, rollout.candidate.version
    steps = plan.steps
    after = rollout.step + 1 if rollout.phase is Phase.CANARY else 0
    end = "waits for approval" if plan.approval and not rollout.approved else "becomes champion"
    following = f"gets {share_text(steps[after])} of the traffic" if after < len(steps) else end
    return f"Version {version} {following}, if its checks pass and it has had rows enough by then."


def _duration(rollout: Rollout) -> timedelta:
    duration = rollout.plan.shadow if rollout.phase is Phase.SHADOW else rollout.plan.step_duration
    return 2 * duration if rollout.extended else duration


def _retrain(facts: ModelFacts) -> list[Upcoming]:
    newest = facts.newest
    if facts.ended_run:
        return [Upcoming(f"The run of the last retrain ends in a moment; {facts.ended_run}.")]
    if facts.holder:
        return [Upcoming("The retrain that is running ends with a candidate, or with the reason for none.")]
    if newest is None:
        return []
    if newest.held_until is not None and newest.held_until > facts.now:
        return [Upcoming("From then on the checks may start a retrain again.", newest.held_until)]
    after = newest.record.probe_after
    if after is not None and after > facts.now:
        return [Upcoming("From then on a probe may try whether a retrain pays.", after)]
    return []


def _check(facts: ModelFacts) -> list[Upcoming]:
    newest = facts.newest
    if facts.traffic.champion is None:
        return []
    if newest is None:
        return [Upcoming("The first drift check follows at the next run of the schedule (monitor.every).")]
    every, at = newest.every, newest.next_check
    if at is None:
        return [Upcoming("Drift check of the next window, at the schedule that the DAG file gives.")]
    # Of replayed traffic the windows lie in the past: no clock says when the next one is checked.
    replayed = newest.checked_at - newest.record.window_end > _REPLAYED * every
    due = newest.checked_at + every if replayed else at
    overdue = facts.now - due
    late = f" It is late: {overdue // every} missed." if overdue >= max(every, LEAST_SILENCE) else ""
    return [
        Upcoming(
            f"Drift check of the next window, one every {describe_duration(every)} (monitor.every).{late}",
            None if replayed else at,
        )
    ]
