"""Decide the next step of a rollout from time and evidence, with one pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.config.duration import describe_duration
from homeostat.config.model import MAX_REVERSE_SHADOW
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.core.rollout.evidence import CANDIDATE, SHADOW, Evidence, Tally, evidence_json
from homeostat.core.rollout.health import (
    HealthCheckName,
    HealthCheckResult,
    HealthVerdict,
    ease_by_labels,
    run_health_checks,
)
from homeostat.core.rollout.pace import MIN_SHADOW_ROWS, first_step, longest_step
from homeostat.core.rollout.phases import RULES, Phase, Rollout, Traffic
from homeostat.core.rollout.transitions import Transition, enter, roll_back

#: How far the clocks of gateways and Airflow may differ before a phase counts as begun in the future.
CLOCK_SKEW = timedelta(minutes=1)
#: Version of the reasons' wording, recorded with each decision: :mod:`~homeostat.core.rollout.audit` compares
#: the reasons of records in this wording only. Increase it when a reason is reworded. Release 0.1 wrote none.
WORDING = 3
#: Checks that must not be in doubt when a candidate advances: a doubt at the end of an extension rolls back.
_MUST_SETTLE = (HealthCheckName.DIVERGENCE, HealthCheckName.LABELS)


@dataclass(frozen=True, slots=True)
class Decision:
    """The transition to make (None: stay in the phase) and the results of the health checks."""

    transition: Transition | None
    checks: tuple[HealthCheckResult, ...] = ()

    def record(self, evidence: Evidence) -> dict[str, Any]:
        """Return what the ledger keeps with the event: enough to make the same decision again."""
        checks = [check.to_json() for check in self.checks]
        return {"checks": checks, "tallies": evidence_json(evidence), "wording": WORDING, "rules": RULES}


def decide_rollout(
    traffic: Traffic,
    evidence: Evidence,
    now: datetime,
    *,
    checks: tuple[HealthCheckResult, ...] | None = None,
) -> Decision:
    """Decide the next step of the active rollout.

    A failed check rolls the candidate back at once. At the end of its phase the candidate advances when there
    is enough evidence and no check is in doubt (CONTINUE). Otherwise the phase is extended once:

    - Rows are missing: until they have come, at most to ``shadow.max_duration`` or
      ``canary.max_step_duration``. Then the candidate is rolled back as inconclusive, which is not called a
      regression.
    - A check is in doubt: to twice its duration, where rows are few also to twice the rows. Then doubts
      do not block, except about :data:`_MUST_SETTLE`, which roll the candidate back as inconclusive.

    Fewer rows of shadow suffice after a long wait, see :func:`ease_by_time`, and fewer rows of each phase
    when the labels show a better candidate, see
    :func:`~homeostat.core.rollout.health.labels.ease_by_labels`. Where traffic is too little for a canary,
    the candidate is promoted after its shadow, see :func:`~homeostat.core.rollout.pace.first_step`. A first
    version has nothing to be compared with: it is promoted when it may leave ``registered``.

    Parameters
    ----------
    checks
        Results to decide with instead of running the health checks; None: run them.
    evidence
        All counts of this rollout so far; those of shadow are under the stage ``shadow``.
    now
        May be before the phase began when a clock was set back: then no time has passed. Beyond
        :data:`CLOCK_SKEW` the phase restarts now, so that it does not wait for the old time.
    """
    rollout = traffic.active
    if rollout is None:
        return Decision(None)
    if checks is None:
        checks = run_health_checks(ease_by_time(rollout, now), evidence)
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
    elapsed = max(timedelta(0), now - rollout.entered_at)
    limits = phase_limits(rollout)
    if elapsed < limits.duration:
        return None
    eased = replace(rollout, plan=ease_by_labels(rollout.plan, checks))
    available, wanted = available_rows(ease_by_time(eased, now), evidence), available_rows(eased, evidence)
    doubts = [check for check in checks if check.verdict is HealthVerdict.CONTINUE]
    if available.rows < available.needed:
        return _lacks_rows(traffic, rollout, available, elapsed, now)
    if doubts and not rollout.extended:
        return _extend(traffic, rollout, f"{doubts[0].name}: {doubts[0].reason}")
    few = elapsed < limits.cap and wanted.rows < 2 * wanted.needed
    if doubts and (elapsed < 2 * limits.duration or few):
        return None
    for check in doubts:
        if check.name in _MUST_SETTLE:
            spent = max(2 * limits.duration, elapsed)
            return _inconclusive(traffic, rollout, spent, f"{check.name}: {check.reason}", now)
    return _next_step(traffic, rollout, _first_step(eased, evidence, now), now)


def _lacks_rows(
    traffic: Traffic, rollout: Rollout, available: AvailableRows, elapsed: timedelta, now: datetime
) -> Transition | None:
    """Wait for rows until the phase's cap; at the cap, roll back as inconclusive."""
    limits = phase_limits(rollout)
    if not rollout.extended:
        pace = _time_for_rows(rollout, available, elapsed, limits)
        return _extend(traffic, rollout, f"{available.lacking}; {pace}")
    if elapsed < limits.cap:
        return None
    why = f"{available.lacking}. Lower {available.setting} or raise {limits.setting}"
    return _inconclusive(traffic, rollout, limits.cap, why, now)


@dataclass(frozen=True, slots=True)
class PhaseLimits:
    """How long a phase lasts, how long it may last for lack of rows, and the setting of the latter."""

    duration: timedelta
    cap: timedelta
    setting: str


def phase_limits(rollout: Rollout) -> PhaseLimits:
    """Return how long the rollout's phase lasts."""
    plan = rollout.plan
    if rollout.phase is Phase.SHADOW:
        duration, cap, setting = plan.shadow, plan.max_shadow, "shadow.max_duration"
    else:
        duration, cap, setting = plan.step_duration, plan.max_step, "canary.max_step_duration"
    return PhaseLimits(duration, max(2 * duration, cap or timedelta(0)), setting)


def _extend(traffic: Traffic, rollout: Rollout, why: str) -> Transition:
    reason = f"{rollout.stage_name} extended: {why}"
    extended = replace(rollout, extended=True, reason=reason)
    return Transition(replace(traffic, rollout=extended), EventKind.EXTENDED, reason)


def _inconclusive(
    traffic: Traffic, rollout: Rollout, spent: timedelta, why: str, now: datetime
) -> Transition:
    after = f"after {describe_duration(spent)} of {rollout.stage_name}"
    return roll_back(traffic, f"inconclusive {after}, not a regression: {why}", now)


@dataclass(frozen=True, slots=True)
class AvailableRows:
    """The rows that a phase has, the rows that it needs, what is counted, and the setting that decides."""

    rows: int
    needed: int
    what: str
    setting: str

    @property
    def lacking(self) -> str:
        """What is missing, in a few words."""
        return f"{self.rows} {self.what}, {self.needed} needed ({self.setting})"


def available_rows(rollout: Rollout, evidence: Evidence) -> AvailableRows:
    """Return the rows that the rollout's phase has."""
    plan = rollout.plan
    if rollout.phase is Phase.SHADOW:
        rows = evidence.get((rollout.stage, SHADOW), Tally()).compared
        what = "rows compared with the champion"
        return AvailableRows(rows, max(1, plan.shadow_min_samples), what, "shadow.min_samples")
    rows = evidence.get((rollout.stage, CANDIDATE), Tally()).rows
    return AvailableRows(
        rows, max(1, plan.min_samples), "rows predicted by the candidate", "canary.min_samples"
    )


def ease_by_time(rollout: Rollout, now: datetime) -> Rollout:
    """Return the rollout with a plan for which few rows of shadow are enough, once it has waited for long.

    With little traffic the rows of ``shadow.min_samples`` take weeks, in which the worse version serves. A
    doubt still extends the phase to twice those rows.
    """
    wait = rollout.plan.shadow_wait
    if rollout.phase is not Phase.SHADOW or wait is None or now - rollout.entered_at < wait:
        return rollout
    few = min(rollout.plan.shadow_min_samples, MIN_SHADOW_ROWS)
    return replace(rollout, plan=replace(rollout.plan, shadow_min_samples=few))


def _time_for_rows(
    rollout: Rollout, available: AvailableRows, elapsed: timedelta, limits: PhaseLimits
) -> str:
    """Say how long the rows will take at this pace."""
    wait = rollout.plan.shadow_wait
    cap = ""
    if rollout.phase is Phase.SHADOW and wait is not None and available.needed > MIN_SHADOW_ROWS:
        after = describe_duration(wait)
        cap = f"{MIN_SHADOW_ROWS} are enough after {after} (shadow.wait_for_samples), "
    cap += f"at most {describe_duration(limits.cap)} in all ({limits.setting})"
    if not available.rows:
        return f"waits for them, {cap}"
    missing = elapsed * ((available.needed - available.rows) / available.rows)
    return f"at this traffic they take about {describe_duration(missing)} more, {cap}"


def _after_registered(traffic: Traffic, rollout: Rollout, now: datetime) -> Transition:
    if traffic.champion is None:
        why = "first version: a gateway has loaded it"
        if rollout.plan.approval and not rollout.approved:
            # No other version serves beside it, so a waiting candidate must have no share.
            waiting = replace(rollout, plan=replace(rollout.plan, steps=(0.0,)))
            return enter(traffic, waiting, Phase.WAITING, now, f"{why}; waits for a person to approve")
        return enter(traffic, rollout, Phase.CHAMPION, now, why)
    if rollout.plan.shadow > timedelta(0):
        return enter(traffic, rollout, Phase.SHADOW, now, "shadow begins")
    return _into_step(traffic, rollout, 0, now, "shadow skipped; ")


def _next_step(traffic: Traffic, rollout: Rollout, first: tuple[int, str], now: datetime) -> Transition:
    """Return the step after a passed phase; ``first`` is the first canary step and why it is that one."""
    if rollout.phase is Phase.SHADOW:
        step, skipped = first
        if step >= len(rollout.plan.steps):
            return _promote_without_canary(traffic, rollout, now, f"shadow passed; {skipped}")
        return _into_step(traffic, rollout, step, now, f"shadow passed; {skipped}")
    if rollout.step + 1 < len(rollout.plan.steps):
        return _into_step(traffic, rollout, rollout.step + 1, now, f"step {rollout.step + 1} passed; ")
    if rollout.plan.approval and not rollout.approved:
        return enter(traffic, rollout, Phase.WAITING, now, "canary passed; approval is required")
    return enter(traffic, rollout, Phase.CHAMPION, now, "canary passed")


def _first_step(rollout: Rollout, evidence: Evidence, now: datetime) -> tuple[int, str]:
    """Return the first canary step that can reach its rows in time at the shadow's traffic, and why."""
    hours = (now - rollout.entered_at) / timedelta(hours=1)
    pace = evidence.get((rollout.stage, SHADOW), Tally()).compared / hours if hours > 0 else 0.0
    step = first_step(rollout.plan, pace)
    if not step:
        return 0, ""
    longest = longest_step(rollout.plan)
    skipped = ", ".join(f"{share:.0%}" for share in rollout.plan.steps[:step])
    return step, (
        f"{skipped} of {pace:.3g} rows an hour would take longer than {describe_duration(longest)}"
        f" for {rollout.plan.min_samples} rows; "
    )


def _promote_without_canary(traffic: Traffic, rollout: Rollout, now: datetime, before: str) -> Transition:
    """Promote after the shadow; the reverse shadow, which takes the canary's place, is a long one."""
    beside = max(rollout.plan.reverse_shadow, MAX_REVERSE_SHADOW)
    plan = replace(rollout.plan, steps=(), reverse_shadow=beside)
    why = f"{before}no canary: the former champion stays in shadow for {describe_duration(beside)}"
    return enter(traffic, replace(rollout, plan=plan), Phase.CHAMPION, now, why)


def _into_step(traffic: Traffic, rollout: Rollout, step: int, now: datetime, before: str) -> Transition:
    steps = rollout.plan.steps
    reason = f"{before}canary step {step + 1} of {len(steps)} begins with {steps[step]:.0%} of the traffic"
    return enter(traffic, rollout, Phase.CANARY, now, reason, step=step)
