"""Compare candidate and champion by ``gate.metric`` on the same holdout."""

from __future__ import annotations

import math

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none
from homeostat.core.gate.score_drop import is_tolerated, score_drop

#: A drop is significant from so many standard errors on (one-sided 95 %).
SIGNIFICANT_DROP = 1.64


def metric(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """No worse than the champion by more than ``gate.max_regression``, as far as the holdout can tell.

    A candidate is refused when it is worse by more than that *and* by at least 1.64 standard errors
    (one-sided 95 %): a short holdout refuses good candidates by chance otherwise. Where the standard error is
    not known the first condition decides.

    The first version has no champion to compare with: it passes as soon as its own score is known.
    """
    name, title, most = config.metric, config.metric_title, config.gate.max_regression
    mine = finite_or_none(evidence.candidate.get(name))
    if mine is None:
        reason = f"the candidate's {title} is not known{_why(evidence.undefined)}"
        return GateCheckResult("metric", "not_computable", None, most, reason)
    if evidence.champion is None:
        reason = f"first version: nothing to compare {title} {mine:.4g} with"
        return GateCheckResult("metric", "pass", mine, None, reason)
    theirs = finite_or_none(evidence.champion.get(name))
    if theirs is None:
        reason = f"the champion's {title} on this holdout is not known{_why(evidence.champion_undefined)}"
        return GateCheckResult("metric", "not_computable", None, most, reason)
    found = score_drop(name, mine, theirs)
    compared = f"{title} {mine:.4g} against the champion's {theirs:.4g}"
    if is_tolerated(found, most):
        allowed = f": worse by {found:.4g}, gate.max_regression allows {most:g}" if found > 0 else ""
        return GateCheckResult("metric", "pass", found, most, f"{compared}{allowed}")
    error = finite_or_none(evidence.drop_error)
    if error is not None and found < SIGNIFICANT_DROP * error:
        reason = f"{compared}: worse by {found:.4g}, which may be chance (standard error {error:.2g})"
        return GateCheckResult("metric", "pass", found, most, reason)
    shown = f"worse by {found:.4g}" if math.isfinite(found) else "worse"
    reason = f"{compared}: {shown}, gate.max_regression allows {most:g}"
    return GateCheckResult("metric", "alert", found if math.isfinite(found) else None, most, reason)


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""
