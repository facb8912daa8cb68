"""Health check of the shadow phase: how often the candidate answers otherwise than the champion."""

from __future__ import annotations

from math import log

from homeostat.core.rollout.health.result import Case, HealthResult, Verdict
from homeostat.core.rollout.health.sequential import rate_interval, surely_more_often

NAME = "divergence"


def divergence(case: Case) -> HealthResult:
    """At most ``max_divergence`` of the answers to the same inputs may differ.

    FAIL as soon as the rate is surely above (beta-binomial mixture, valid however often one looks), PASS
    when it is not above with enough rows compared, CONTINUE before that and while in doubt.
    """
    shadow, limit = case.own_shadow, case.plan.max_divergence
    low, high = rate_interval(shadow.diverged, shadow.compared, case.alpha)
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
        return HealthResult(NAME, Verdict.CONTINUE, "no answers to compare with the champion's yet", figures)
    seen = (
        f"{shadow.diverged} of {shadow.compared} answers differ from the champion's:"
        f" {rate:.1%} ({low:.1%} to {high:.1%}), limit {limit:.1%}"
    )
    if surely_more_often(shadow.diverged, shadow.compared, limit) >= -log(case.alpha):
        return HealthResult(NAME, Verdict.FAIL, f"{seen}: surely above", figures)
    if shadow.compared < case.plan.shadow_min_samples:
        return HealthResult(
            NAME, Verdict.CONTINUE, f"{seen}; {case.plan.shadow_min_samples} rows are needed", figures
        )
    if rate > limit:
        return HealthResult(NAME, Verdict.CONTINUE, f"{seen}: above, but not surely so", figures)
    return HealthResult(NAME, Verdict.PASS, f"{seen}: within", figures)
