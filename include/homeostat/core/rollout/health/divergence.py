"""Health check of the shadow phase: how often the candidate's prediction differs from the champion's."""

from __future__ import annotations

from math import log

from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.result import CandidateEvidence, HealthCheckResult, HealthVerdict
from homeostat.core.rollout.health.sequential import log_e_above_limit, rate_interval


def divergence(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that at most ``max_divergence`` of the predictions on the same inputs differ.

    FAIL as soon as the rate is significantly above (beta-binomial mixture, valid at every evaluation), PASS
    when it is not above after enough compared rows, CONTINUE before that and while in doubt.
    """
    shadow, limit = evidence.own_shadow, evidence.plan.max_divergence
    low, high = rate_interval(shadow.diverged, shadow.compared, evidence.alpha)
    rate = shadow.diverged / shadow.compared if shadow.compared else None
    figures: dict[str, float] = {
        "compared": shadow.compared,
        "diverged": shadow.diverged,
        "dropped": shadow.dropped,
        "low": low,
        "high": high,
        "limit": limit,
    }
    if rate is None:
        return HealthCheckResult(
            HealthCheckName.DIVERGENCE,
            HealthVerdict.CONTINUE,
            "no rows were compared with the champion yet",
            figures,
        )
    seen = (
        f"{shadow.diverged} of {shadow.compared} predictions differ from the champion's:"
        f" {rate:.1%} ({low:.1%} to {high:.1%}), shadow.max_divergence is {limit:.1%}"
    )
    if log_e_above_limit(shadow.diverged, shadow.compared, limit) >= -log(evidence.alpha):
        return HealthCheckResult(
            HealthCheckName.DIVERGENCE, HealthVerdict.FAIL, f"{seen}: significantly above", figures
        )
    if shadow.compared < evidence.plan.shadow_min_samples:
        return HealthCheckResult(
            HealthCheckName.DIVERGENCE,
            HealthVerdict.CONTINUE,
            f"{seen}; {evidence.plan.shadow_min_samples} rows are needed (shadow.min_samples)",
            figures,
        )
    if rate > limit:
        return HealthCheckResult(
            HealthCheckName.DIVERGENCE,
            HealthVerdict.CONTINUE,
            f"{seen}: above, but not significantly",
            figures,
        )
    return HealthCheckResult(HealthCheckName.DIVERGENCE, HealthVerdict.PASS, f"{seen}: within", figures)
