"""Roll back a version that fails in a way that needs no statistics: it does not load, or its calls hang."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from homeostat.core.rollout.champion_watch import is_watched
from homeostat.core.rollout.health.hard_limit import HARD_LIMIT
from homeostat.core.rollout.phases import Traffic, VersionRef
from homeostat.core.rollout.transitions import Transition, roll_back


@dataclass(frozen=True, slots=True)
class HardFailure:
    """A failure that a gateway saw. ``hanging`` counts predict calls that have not returned."""

    ref: VersionRef
    reason: str
    hanging: int = 0


def decide_hard_failure(traffic: Traffic, failure: HardFailure, now: datetime) -> Transition | None:
    """Return the rollback that the failure requires; None when the version stays.

    A candidate is rolled back at once. A champion is rolled back only for hanging calls: within one
    ``step_duration`` of its promotion at the first, later at the third, since one unusual row must not undo
    an established champion. A champion that cannot be loaded stays: the gateway serves the previous version
    meanwhile.
    """
    active = traffic.active
    if active is not None:
        return roll_back(traffic, failure.reason, now) if active.candidate == failure.ref else None
    rollout = traffic.rollout
    if rollout is None or traffic.champion != failure.ref or not failure.hanging or not is_watched(traffic):
        return None
    fresh = now - rollout.entered_at <= rollout.plan.step_duration
    return roll_back(traffic, failure.reason, now) if fresh or failure.hanging >= HARD_LIMIT else None
