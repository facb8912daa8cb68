"""Decide the next step of a rollout from time and evidence, with one pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.core.rollout.event_kinds import EventKind
from homeostat.core.rollout.evidence import CANDIDATE, SHADOW, Evidence, Tally, evidence_json
from homeostat.core.rollout.health import (
    HealthCheckName,
    HealthCheckResult,
    HealthVerdict,
    run_health_checks,
)
from homeostat.core.rollout.phases import Phase, Rollout, Traffic
from homeostat.core.rollout.transitions import Transition, enter, roll_back

#: How far the clocks of gateways and Airflow may differ before a phase counts as begun in the future.
CLOCK_SKEW = timedelta(minutes=1)
#: Version of the reasons' wording, recorded with each decision: :mod:`~homeostat.core.rollout.audit` compares
#: the reasons of records in this wording only. Increase it when a reason is reworded. Release 0.1 wrote none.
WORDING = 2


@dataclass(frozen=True, slots=True)
class Decision:
    """The transition to make (None: stay in the phase) and the results of the health checks."""

    transition: Transition | None
    checks: tuple[HealthCheckResult, ...] = ()

    def record(self, evidence: Evidence) -> dict[str, Any]:
        """Return what the ledger keeps with the event: enough to make the same decision again."""
        checks = [check.to_json() for check in self.checks]
        return {"checks": checks, "tallies": evidence_json(evidence), "wording": WORDING}


def decide_rollout(traffic: Traffic, evidence: Evidence, now: datetime) -> Decision:
    """Decide the next step of the active rollout.

    A failed check rolls the candidate back at once. At the end of its phase the candidate advances when there
    is enough evidence and no check is in doubt (CONTINUE). Otherwise the phase is extended once, by its own
    duration, and ends as soon as both hold. At the end of the extension enough evidence suffices; too little
    evidence, or a divergence still above its limit, rolls the candidate back as inconclusive, which is not
    called a regression.

    Parameters
    ----------
    evidence
        All counts of this rollout so far; those of shadow are under the stage ``shadow``.
    now
        May be before the phase began when a clock was set back: then no time has passed. Beyond
        :data:`CLOCK_SKEW` the phase restarts now, so that it does not wait for the old time.
    """
    rollout = traffic.active
    if rollout is None:
        return Decision(None)
    checks = run_health_checks(rollout, evidence)
    failed = next((check for check in checks if check.verdict is HealthVerdict.FAIL), None)
    if failed is not None:
        return Decision(roll_back(traffic, f"{failed.name} failed: {failed.reason}", now), checks)
    if rollout.entered_at - now > CLOCK_SKEW:
        reason = (
            f"a clock was set back by {rollout.entered_at - now}:"
            f" the duration of {rollout.stage_name} is measured from now on"
        )
        restarted = replace(traffic, rollout=replace(rollout, entered_at=now))
        return Decision(Transition(restarted, EventKind.CLOCK_RESET, reason), checks)
    if rollout.phase is Phase.REGISTERED:
        return Decision(_after_registered(traffic, rollout, now))
    if rollout.phase is Phase.WAITING:
        return Decision(None, checks)
    return Decision(_after_duration(traffic, rollout, evidence, checks, now), checks)


def _after_duration(
    traffic: Traffic,
    rollout: Rollout,
    evidence: Evidence,
    checks: tuple[HealthCheckResult, ...],
    now: datetime,
) -> Transition | None:
    duration = rollout.plan.shadow if rollout.phase is Phase.SHADOW else rollout.plan.step_duration
    elapsed = max(timedelta(0), now - rollout.entered_at)
    if elapsed < duration:
        return None
    available = _available_rows(rollout, evidence)
    enough = available.rows >= available.needed
    doubts = [check for check in checks if check.verdict is HealthVerdict.CONTINUE]
    lacking = f"{available.rows} {available.what}, {available.needed} needed"
    if enough and not doubts:
        return _next_step(traffic, rollout, now)
    if enough:
        lacking = f"{doubts[0].name}: {doubts[0].reason}"
    # A check still in doubt at the end did not show a fault; only divergence must be shown to be within its
    # limit.
    tolerable = enough and all(check.name != HealthCheckName.DIVERGENCE for check in doubts)
    if rollout.extended and elapsed >= 2 * duration and tolerable:
        return _next_step(traffic, rollout, now)
    return _extend_or_roll_back(traffic, rollout, elapsed, duration, now, lacking)


def _extend_or_roll_back(
    traffic: Traffic, rollout: Rollout, elapsed: timedelta, duration: timedelta, now: datetime, lacking: str
) -> Transition | None:
    """Extend the phase once; at the end of the extension, roll back as inconclusive."""
    if not rollout.extended:
        reason = f"{rollout.stage_name} extended once by {duration}: {lacking}"
        extended = replace(rollout, extended=True, reason=reason)
        return Transition(replace(traffic, rollout=extended), EventKind.EXTENDED, reason)
    if elapsed < 2 * duration:
        return None
    spent = f"after {2 * duration} of {rollout.stage_name}"
    return roll_back(traffic, f"inconclusive {spent}, not a regression: {lacking}", now)


@dataclass(frozen=True, slots=True)
class _AvailableRows:
    """The rows that a phase has, the rows that it needs, and what is counted."""

    rows: int
    needed: int
    what: str


def _available_rows(rollout: Rollout, evidence: Evidence) -> _AvailableRows:
    plan = rollout.plan
    if rollout.phase is Phase.SHADOW:
        rows = evidence.get((rollout.stage, SHADOW), Tally()).compared
        return _AvailableRows(rows, max(1, plan.shadow_min_samples), "rows compared with the champion")
    rows = evidence.get((rollout.stage, CANDIDATE), Tally()).rows
    return _AvailableRows(rows, max(1, plan.min_samples), "rows predicted by the candidate")


def _after_registered(traffic: Traffic, rollout: Rollout, now: datetime) -> Transition:
    if rollout.plan.shadow > timedelta(0):
        return enter(traffic, rollout, Phase.SHADOW, now, "shadow begins")
    return _into_step(traffic, rollout, 0, now, "shadow skipped; ")


def _next_step(traffic: Traffic, rollout: Rollout, now: datetime) -> Transition:
    """Return the step after a passed phase."""
    if rollout.phase is Phase.SHADOW:
        return _into_step(traffic, rollout, 0, now, "shadow passed; ")
    if rollout.step + 1 < len(rollout.plan.steps):
        return _into_step(traffic, rollout, rollout.step + 1, now, f"step {rollout.step + 1} passed; ")
    if rollout.plan.approval and not rollout.approved:
        return enter(traffic, rollout, Phase.WAITING, now, "canary passed; approval is required")
    return enter(traffic, rollout, Phase.CHAMPION, now, "canary passed")


def _into_step(traffic: Traffic, rollout: Rollout, step: int, now: datetime, before: str) -> Transition:
    steps = rollout.plan.steps
    reason = f"{before}canary step {step + 1} of {len(steps)} begins with {steps[step]:.0%} of the traffic"
    return enter(traffic, rollout, Phase.CANARY, now, reason, step=step)
