"""Health check: answers outside the range that the version showed on its holdout."""

from __future__ import annotations

from homeostat.core.rollout.health.rates import judge
from homeostat.core.rollout.health.result import Case, HealthResult


def output_range(case: Case) -> HealthResult:
    """No more answers out of range than the champion gives out of its own; three trip at once."""
    return judge(case, "output_range", "lay out of range", lambda tally: tally.out_of_range)
