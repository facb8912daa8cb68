"""Health check: exceptions and NaN."""

from __future__ import annotations

from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.rates import check_bad_rows
from homeostat.core.rollout.health.result import CandidateEvidence, HealthCheckResult


def bad_rows(tally: Tally) -> int:
    """Return the rows that ended in an exception or in NaN."""
    return tally.errors + tally.nan


def errors(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that there are no more exceptions and NaN than with the champion; see :mod:`.rates`."""
    return check_bad_rows(evidence, HealthCheckName.ERRORS, "failed or were NaN", bad_rows)
