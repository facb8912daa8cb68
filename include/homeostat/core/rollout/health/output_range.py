"""Health check: predictions outside the range seen on the version's holdout."""

from __future__ import annotations

from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.rates import check_bad_rows
from homeostat.core.rollout.health.result import CandidateEvidence, HealthCheckResult


def output_range(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that no more predictions are out of range than with the champion; see :mod:`.rates`."""
    return check_bad_rows(
        evidence, HealthCheckName.OUTPUT_RANGE, "were out of range", lambda tally: tally.out_of_range
    )
