"""Health check: exceptions and NaN."""

from __future__ import annotations

from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.health.rates import judge
from homeostat.core.rollout.health.result import Case, HealthResult


def failed_answers(tally: Tally) -> int:
    """Rows answered with an exception or with NaN."""
    return tally.errors + tally.nan


def errors(case: Case) -> HealthResult:
    """No more exceptions and NaN answers than the champion; three trip at once (see rates and trip)."""
    return judge(case, "errors", "failed or were NaN", failed_answers)
