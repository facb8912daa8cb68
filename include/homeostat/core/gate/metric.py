"""The candidate against the champion, in the gate's metric, on the same holdout."""

from __future__ import annotations

import math

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import CheckResult, Evidence, known
from homeostat.core.gate.score_drop import regression, tolerated


def metric(evidence: Evidence, config: ModelConfig) -> CheckResult:
    """No worse than the champion by more than ``gate.max_regression``.

    The first version has nobody to be compared with: it passes as soon as its own score is known.
    """
    name, most = config.metric, config.gate.max_regression
    mine = known(evidence.candidate.get(name))
    if mine is None:
        return CheckResult("metric", "not_computable", None, most, f"the candidate's {name} is not known")
    if evidence.champion is None:
        reason = f"first version: nothing to compare {name} {mine:.4g} with"
        return CheckResult("metric", "pass", mine, None, reason)
    theirs = known(evidence.champion.get(name))
    if theirs is None:
        reason = f"the champion's {name} on this holdout is not known"
        return CheckResult("metric", "not_computable", None, most, reason)
    found = regression(name, mine, theirs)
    compared = f"{name} {mine:.4g} against the champion's {theirs:.4g}"
    if tolerated(found, most):
        return CheckResult("metric", "pass", found, most, compared)
    shown = f"worse by {found:.4g}" if math.isfinite(found) else "worse"
    reason = f"{compared}: {shown}, and at most {most:g} is allowed"
    return CheckResult("metric", "alert", found if math.isfinite(found) else None, most, reason)
