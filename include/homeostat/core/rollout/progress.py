"""How far the rollout under way is: what its phase still lacks, how long it takes, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.config.duration import describe_duration
from homeostat.core.rollout.decide import (
    AvailableRows,
    PhaseLimits,
    available_rows,
    ease_by_time,
    phase_limits,
)
from homeostat.core.rollout.evidence import CANDIDATE, CHAMPION, CONTROL, Evidence, Tally
from homeostat.core.rollout.health import ease_by_labels, run_health_checks
from homeostat.core.rollout.pace import (
    MIN_SHADOW_ROWS,
    PhasePace,
    expected_time,
    first_step,
    rollout_pace,
    time_for_rows,
)
from homeostat.core.rollout.phases import Phase, Plan, Rollout


@dataclass(frozen=True, slots=True)
class RolloutProgress:
    """The phase under way and the phases after it.

    Parameters
    ----------
    elapsed
        Time since the phase began.
    remaining
        How long it still takes at this pace when no check is in doubt; None while it has no rows.
    fits
        Whether its rows come in time at this pace.
    later
        The phases after it; empty when the traffic is not known.
    sentence
        What the phase has, what it lacks, and what follows.
    """

    stage: str
    rows: int
    needed: int
    elapsed: timedelta
    remaining: timedelta | None
    fits: bool
    later: tuple[PhasePace, ...]
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, durations in seconds."""
        return {
            "stage": self.stage,
            "rows": self.rows,
            "needed": self.needed,
            "elapsed_seconds": self.elapsed.total_seconds(),
            "remaining_seconds": None if self.remaining is None else self.remaining.total_seconds(),
            "fits": self.fits,
            "later": [phase.to_json() for phase in self.later],
            "sentence": self.sentence,
        }


def served_rows(rollout: Rollout, evidence: Evidence) -> int:
    """Return the rows of all traffic in the rollout's current phase and step."""
    variants = (CHAMPION, CONTROL, CANDIDATE)
    return sum(evidence.get((rollout.stage, variant), Tally()).rows for variant in variants)


def rollout_progress(
    rollout: Rollout, evidence: Evidence, now: datetime, rows_per_hour: float | None = None
) -> RolloutProgress | None:
    """Return how long the phase under way still takes; None when it does not wait for rows.

    Parameters
    ----------
    evidence
        All counts of this rollout so far.
    rows_per_hour
        Rows an hour of all traffic. Default: those of this phase so far.
    """
    if rollout.phase not in (Phase.SHADOW, Phase.CANARY):
        return None
    elapsed = max(timedelta(0), now - rollout.entered_at)
    hours = elapsed / timedelta(hours=1)
    checks = run_health_checks(ease_by_time(rollout, now), evidence)
    eased = replace(rollout, plan=ease_by_labels(rollout.plan, checks))
    available, limits = available_rows(ease_by_time(eased, now), evidence), phase_limits(rollout)
    share = rollout.share or 1.0
    pace = rows_per_hour * share if rows_per_hour else available.rows / hours if hours > 0 else 0.0
    traffic = rows_per_hour or (served_rows(rollout, evidence) / hours if hours > 0 else 0.0)
    later = _later(rollout, eased.plan, traffic) if traffic > 0 else ()
    remaining, fits, sentence = _describe(available, limits, elapsed, pace)
    sooner = _enough_sooner(rollout, available, elapsed, pace)
    if sooner is not None and (remaining is None or not fits or sooner < remaining):
        wait = describe_duration(rollout.plan.shadow_wait or timedelta(0))
        remaining, fits = sooner, sooner <= limits.cap - elapsed
        sentence = (
            f"{available.rows} of {available.needed} rows ({available.setting}) after"
            f" {describe_duration(elapsed)}; {MIN_SHADOW_ROWS} are enough after {wait}"
            f" (shadow.wait_for_samples), in about {describe_duration(sooner)}"
        )
    sentence = f"{rollout.stage_name}: {sentence}"
    if later and fits:
        sentence += f"; then {', '.join(phase.sentence for phase in later)}"
    whole = expected_time(later)
    if fits and remaining is not None and whole is not None:
        end = "the approval" if rollout.plan.approval and not rollout.approved else "the promotion"
        sentence += f"; about {describe_duration(remaining + whole)} until {end}"
    return RolloutProgress(
        rollout.stage_name, available.rows, available.needed, elapsed, remaining, fits, later, sentence
    )


def _enough_sooner(
    rollout: Rollout, available: AvailableRows, elapsed: timedelta, pace: float
) -> timedelta | None:
    """Return when few rows of shadow will be enough; None where that does not apply, or no rows come."""
    wait = rollout.plan.shadow_wait
    if rollout.phase is not Phase.SHADOW or wait is None:
        return None
    if available.needed <= MIN_SHADOW_ROWS or available.rows >= available.needed:
        return None
    few = time_for_rows(max(0, MIN_SHADOW_ROWS - available.rows), pace) if pace > 0 else None
    return None if few is None else max(wait - elapsed, few, timedelta(0))


def _describe(
    available: AvailableRows, limits: PhaseLimits, elapsed: timedelta, pace: float
) -> tuple[timedelta | None, bool, str]:
    """Return the time that remains, whether the rows come in time, and what to say."""
    left = max(timedelta(0), limits.cap - elapsed)
    if available.rows >= available.needed:
        return _has_its_rows(available, limits, elapsed, pace)
    has = f"{available.rows} of {available.needed} rows ({available.setting})"
    longest = f"{limits.setting} is {describe_duration(limits.cap)}"
    missing = time_for_rows(available.needed - available.rows, pace)
    if missing is None:
        return None, True, f"{has} after {describe_duration(elapsed)}, waits for requests ({longest})"
    has += f" after {describe_duration(elapsed)}"
    if missing <= left:
        remaining = max(missing, limits.duration - elapsed)
        return remaining, True, f"{has}, takes about {describe_duration(remaining)} more"
    too_long = (
        f"{has}. At this traffic the others take {describe_duration(missing)}, but {longest}: it will end as"
        f" inconclusive in {describe_duration(left)}. Lower {available.setting} or raise {limits.setting}"
        " for the next rollout"
    )
    return left, False, too_long


def _has_its_rows(
    available: AvailableRows, limits: PhaseLimits, elapsed: timedelta, pace: float
) -> tuple[timedelta, bool, str]:
    has = f"has its {available.needed} rows ({available.rows} so far)"
    remaining = limits.duration - elapsed
    if remaining > timedelta(0):
        return remaining, True, f"{has}, takes {describe_duration(remaining)} more"
    # A doubt extends the phase to twice its duration, and where rows are few to twice the rows.
    twice = time_for_rows(max(0, 2 * available.needed - available.rows), pace) or timedelta(0)
    left = max(2 * limits.duration - elapsed, min(twice, limits.cap - elapsed), timedelta(0))
    return timedelta(0), True, f"{has}, ends when no check is in doubt, in {describe_duration(left)} at most"


def _later(rollout: Rollout, eased: Plan, rows_per_hour: float) -> tuple[PhasePace, ...]:
    plan = replace(rollout.plan, shadow=timedelta(0), min_samples=eased.min_samples)
    in_shadow = rollout.phase is Phase.SHADOW
    first = first_step(eased, rows_per_hour) if in_shadow else 0
    steps = [
        replace(step, skipped=number < first) for number, step in enumerate(rollout_pace(plan, rows_per_hour))
    ]
    return tuple(steps if in_shadow else steps[rollout.step + 1 :])
