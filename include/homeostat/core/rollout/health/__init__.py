"""Health checks: one question about a candidate a file, each valid however often one looks.

They split :data:`ALPHA` between them, for a whole rollout: a candidate that behaves like the version beside
it is taken back with at most that chance (hard limits apart, see
:mod:`~homeostat.core.rollout.health.hard_limit`).
"""

from homeostat.core.rollout.evidence import Evidence
from homeostat.core.rollout.health.confidence import confidence
from homeostat.core.rollout.health.divergence import NAME as DIVERGENCE
from homeostat.core.rollout.health.divergence import divergence
from homeostat.core.rollout.health.errors import errors
from homeostat.core.rollout.health.latency import p99_latency
from homeostat.core.rollout.health.output_range import output_range
from homeostat.core.rollout.health.prediction_distribution import prediction_distribution
from homeostat.core.rollout.health.result import ALPHA, Case, HealthCheck, HealthResult, Verdict
from homeostat.core.rollout.phases import Phase, Rollout

#: Each check and its part of alpha; those that need many answers get more of it.
SHADOW_CHECKS: tuple[tuple[HealthCheck, float], ...] = ((divergence, 0.1), (errors, 0.2), (output_range, 0.1))
CANARY_CHECKS: tuple[tuple[HealthCheck, float], ...] = (
    (prediction_distribution, 0.25),
    (p99_latency, 0.25),
    (errors, 0.2),
    (confidence, 0.1),
    (output_range, 0.1),
)


def examine(rollout: Rollout, evidence: Evidence) -> tuple[HealthResult, ...]:
    """Every check that the rollout's present phase asks for; none outside shadow and canary."""
    checks = {Phase.SHADOW: SHADOW_CHECKS, Phase.CANARY: CANARY_CHECKS, Phase.WAITING: CANARY_CHECKS}
    return tuple(
        check(Case.of(rollout, evidence, ALPHA * part)) for check, part in checks.get(rollout.phase, ())
    )


__all__ = [
    "ALPHA",
    "CANARY_CHECKS",
    "DIVERGENCE",
    "SHADOW_CHECKS",
    "Case",
    "HealthCheck",
    "HealthResult",
    "Verdict",
    "examine",
]
