"""Health check: mean confidence."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, sqrt

import numpy as np

from homeostat.core.rollout.evidence import CONFIDENCE_BINS
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.result import (
    DOUBT,
    CandidateEvidence,
    HealthCheckResult,
    conclude,
    incomparable,
)
from homeostat.core.rollout.health.sequential import log_e_shift

#: How far the mean confidence may move, relative to the mean that it is compared with.
TOLERANCE = 0.10


def confidence(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that the mean confidence is within 10 % of the candidate's in shadow.

    Without a shadow it is compared with the control cohort's.

    FAIL needs both: a significant change of the confidences
    (:func:`~homeostat.core.rollout.health.sequential.log_e_shift`) and a mean more than 10 % off, also after
    subtracting the relative change of the champion's mean since shadow, and two standard errors once the
    champion's confidences seem to have changed: then the inputs have, and a few rows more or less than 10 %
    off decide nothing. INCONCLUSIVE when the model gives no confidences (regression, or no probabilities).
    """
    canary, own = evidence.canary, evidence.own_shadow
    n, own_rows = sum(canary.confidence), sum(own.confidence)
    reference, against = (
        (own.confidence, "its shadow") if own_rows else (evidence.canary_control.confidence, "control")
    )
    figures: dict[str, float] = {"rows": n, "reference_rows": sum(reference)}
    if not n or not sum(reference):
        return incomparable(evidence, HealthCheckName.CONFIDENCE, "no confidences to compare", figures)
    mean, expected = mean_confidence(canary.confidence), mean_confidence(reference)
    change = mean / expected - 1.0
    champion_shift, error = _champion_shift(evidence) if own_rows else (0.0, 0.0)
    log_e = log_e_shift(reference, canary.confidence, frozen=own_rows > 0)
    enough = -log(evidence.alpha)
    figures |= {
        "mean": mean,
        "expected": expected,
        "change": change,
        "change_champion": champion_shift,
        "error": error,
        "log_evidence": log_e,
        "log_evidence_needed": enough,
    }
    seen = f"mean {mean:.3f} over {n} rows, {against} {expected:.3f} ({change:+.1%})"
    matters = min(abs(change), abs(change - champion_shift)) - error > TOLERANCE
    return conclude(
        evidence,
        HealthCheckName.CONFIDENCE,
        seen,
        figures,
        fail=f"significantly more than {TOLERANCE:.0%} off" if matters and log_e >= enough else "",
        doubt="off, but not significantly" if matters and log_e >= DOUBT else "",
        fine=f"within {TOLERANCE:.0%}",
    )


def mean_confidence(counts: Sequence[int]) -> float:
    """Return the mean of counts over equal bins of [0, 1], by midpoints (at most half a bin off)."""
    bins = np.asarray(counts, dtype=np.float64)
    midpoints = (np.arange(bins.size) + 0.5) / CONFIDENCE_BINS
    return float((bins * midpoints).sum() / bins.sum())


def _champion_shift(evidence: CandidateEvidence) -> tuple[float, float]:
    """Return the relative change of the champion's mean since shadow, and two standard errors.

    The errors of the candidate's and the champion's change add; 0 if the champion's seems unchanged.
    """
    then, now = evidence.champion_then.confidence, evidence.champion_now.confidence
    if not sum(then) or not sum(now):
        return 0.0, 0.0
    shift = mean_confidence(now) / mean_confidence(then) - 1.0
    if log_e_shift(then, now, frozen=True) < DOUBT:
        return shift, 0.0
    means = (evidence.own_shadow.confidence, evidence.canary.confidence, then, now)
    return shift, 2.0 * sqrt(sum(_relative_variance(counts) for counts in means))


def _relative_variance(counts: Sequence[int]) -> float:
    """Return the squared standard error of the mean, relative to the squared mean."""
    bins = np.asarray(counts, dtype=np.float64)
    midpoints = (np.arange(bins.size) + 0.5) / CONFIDENCE_BINS
    mean = mean_confidence(counts)
    return float((bins * (midpoints - mean) ** 2).sum() / bins.sum() ** 2) / mean**2
