"""Health check: the candidate's predictions are distributed in the canary as they were in shadow."""

from __future__ import annotations

from math import log, sqrt

from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.result import (
    DOUBT,
    CandidateEvidence,
    HealthCheckResult,
    HealthVerdict,
    conclude,
    incomparable,
)
from homeostat.core.rollout.health.sequential import distance, log_e_shift, radius

#: A smaller shift of the distribution is no reason for a rollback, however significant it is.
MIN_EFFECT = 0.1
#: How far the predictions may be from the control cohort's: wide, since a better model predicts differently.
GUARDRAIL = 0.5


def prediction_distribution(evidence: CandidateEvidence) -> HealthCheckResult:
    """Compare the predictions of all canary steps with the candidate's *own* shadow predictions.

    A better model should predict otherwise than a stale champion, so the reference is what the candidate
    itself predicted in shadow. FAIL needs both: a significant shift
    (:func:`~homeostat.core.rollout.health.sequential.log_e_shift`, on the candidate's frozen edges) and a
    relevant one: a Kolmogorov-Smirnov distance above 0.1 beyond the shift of the champion's own predictions
    in the same time, since inputs change between night and day. The distance to the control cohort is only a
    guardrail: 0.5, or 0.2 more than in shadow, beyond the confidence bands of both sides
    (:func:`~homeostat.core.rollout.health.sequential.radius`). Each of the two takes half of alpha.

    Without shadow predictions only the guardrail applies, and the check is INCONCLUSIVE, which does not
    block.
    """
    canary, control, own, then = (
        evidence.canary,
        evidence.canary_control,
        evidence.own_shadow,
        evidence.champion_then,
    )
    n, alpha = sum(canary.predictions), evidence.alpha / 2
    figures: dict[str, float] = {"rows": n, "shadow_rows": sum(own.predictions)}
    if not n:
        return incomparable(
            evidence,
            HealthCheckName.PREDICTION_DISTRIBUTION,
            "no predictions of the candidate were counted",
            figures,
        )
    outside = _outside_guardrail(evidence, canary, control, alpha, figures)
    if outside:
        return HealthCheckResult(
            HealthCheckName.PREDICTION_DISTRIBUTION, HealthVerdict.FAIL, outside, figures
        )
    if not sum(own.predictions):
        reason = "shadow was skipped or has no predictions: there is nothing to compare with"
        return HealthCheckResult(
            HealthCheckName.PREDICTION_DISTRIBUTION, HealthVerdict.INCONCLUSIVE, reason, figures
        )
    shift, champion_shift = (
        distance(own.predictions, canary.predictions),
        _champion_shift(then, evidence.champion_now, n),
    )
    log_e, enough = log_e_shift(own.predictions, canary.predictions, frozen=True), -log(alpha)
    figures |= {
        "ks": shift,
        "ks_champion": champion_shift,
        "log_evidence": log_e,
        "log_evidence_needed": enough,
    }
    matters = shift - champion_shift > MIN_EFFECT
    seen = (
        f"KS distance {shift:.3f} to its shadow predictions over {n} rows"
        f" (the champion's: {champion_shift:.3f})"
    )
    return conclude(
        evidence,
        HealthCheckName.PREDICTION_DISTRIBUTION,
        seen,
        figures,
        fail="significantly shifted" if matters and log_e >= enough else "",
        doubt=f"above {MIN_EFFECT}, but not significantly" if matters and log_e >= DOUBT else "",
        fine="as in shadow",
    )


def _outside_guardrail(
    evidence: CandidateEvidence, canary: Tally, control: Tally, alpha: float, figures: dict[str, float]
) -> str:
    n, m = sum(canary.predictions), sum(control.predictions)
    if not m:
        return ""
    apart = distance(control.predictions, canary.predictions)
    shown = distance(evidence.champion_then.predictions, evidence.own_shadow.predictions)
    limit = max(GUARDRAIL, shown + 0.2)
    lower_bound = apart - radius(n, alpha / 2) - radius(m, alpha / 2)
    figures |= {"ks_control": apart, "ks_control_low": max(0.0, lower_bound), "ks_control_limit": limit}
    if lower_bound <= limit:
        return ""
    return f"KS distance {apart:.3f} to the control cohort: significantly above the guardrail of {limit:.2f}"


def _champion_shift(then: Tally, now: Tally, rows: int) -> float:
    """Return how far the champion's predictions may have shifted since shadow; 0 if they did not.

    Chance alone shifts the observed distance of a few hundred rows; subtracting it would excuse real faults.
    Once the champion has seemingly shifted, the sampling error is added: the champion's own, and that of the
    candidate's ``rows``.
    """
    m, n = sum(then.predictions), sum(now.predictions)
    if not m or not n or log_e_shift(then.predictions, now.predictions, frozen=True) < DOUBT:
        return 0.0
    return distance(then.predictions, now.predictions) + sqrt(1 / m + 1 / n) + sqrt(1 / rows)
