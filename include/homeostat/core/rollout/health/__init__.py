"""Health checks: one per file, each a sequential test that stays valid however often it is evaluated.

They split :data:`ALPHA` between them for a whole rollout: a candidate that behaves like the champion is
rolled back with at most that probability (hard limits come on top, see
:mod:`~homeostat.core.rollout.health.hard_limit`).
"""

from dataclasses import replace

from homeostat.core.rollout.evidence import Evidence
from homeostat.core.rollout.health.check_names import CHECK_SENTENCES, HealthCheckName
from homeostat.core.rollout.health.confidence import confidence
from homeostat.core.rollout.health.divergence import divergence
from homeostat.core.rollout.health.errors import errors
from homeostat.core.rollout.health.labels import ease_by_labels, labels, settle_by_labels
from homeostat.core.rollout.health.latency import p99_latency
from homeostat.core.rollout.health.output_range import output_range
from homeostat.core.rollout.health.prediction_distribution import prediction_distribution
from homeostat.core.rollout.health.result import (
    ALPHA,
    VERDICT_SENTENCES,
    CandidateEvidence,
    HealthCheck,
    HealthCheckResult,
    HealthVerdict,
)
from homeostat.core.rollout.phases import Phase, Rollout

#: The part of alpha of the labels' test, one test for shadow, canary and the time after the promotion.
LABELS_PART = 0.05
#: Each check beside the labels' and its part of alpha; checks that need many rows get more of it.
SHADOW_CHECKS: tuple[tuple[HealthCheck, float], ...] = (
    (divergence, 0.05),
    (errors, 0.25),
    (output_range, 0.1),
)
CANARY_CHECKS: tuple[tuple[HealthCheck, float], ...] = (
    (prediction_distribution, 0.2),
    (p99_latency, 0.25),
    (errors, 0.25),
    (confidence, 0.1),
    (output_range, 0.1),
)


def run_health_checks(rollout: Rollout, evidence: Evidence) -> tuple[HealthCheckResult, ...]:
    """Run the checks of the rollout's current phase; none outside shadow and canary."""
    checks = {Phase.SHADOW: SHADOW_CHECKS, Phase.CANARY: CANARY_CHECKS, Phase.WAITING: CANARY_CHECKS}
    if rollout.phase not in checks:
        return ()
    by_labels = compare_by_labels(rollout, evidence)
    eased = replace(rollout, plan=ease_by_labels(rollout.plan, [by_labels]))
    others = (
        check(CandidateEvidence.of(eased, evidence, ALPHA * part)) for check, part in checks[rollout.phase]
    )
    return settle_by_labels((by_labels, *others))


def compare_by_labels(rollout: Rollout, evidence: Evidence) -> HealthCheckResult:
    """Run the labels check of a candidate, or of a promoted champion against the former one."""
    return labels(CandidateEvidence.of(rollout, evidence, ALPHA * LABELS_PART))


__all__ = [
    "ALPHA",
    "CANARY_CHECKS",
    "CHECK_SENTENCES",
    "LABELS_PART",
    "SHADOW_CHECKS",
    "VERDICT_SENTENCES",
    "CandidateEvidence",
    "HealthCheck",
    "HealthCheckName",
    "HealthCheckResult",
    "HealthVerdict",
    "compare_by_labels",
    "ease_by_labels",
    "labels",
    "run_health_checks",
]
