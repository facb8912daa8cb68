"""Answers that are none."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import CheckResult, Evidence, known


def nan_rate(evidence: Evidence, config: ModelConfig) -> CheckResult:
    """The share of the holdout without an answer is at most ``gate.max_nan_rate``."""
    found, most = known(evidence.nan_rate), config.gate.max_nan_rate
    if found is None or not 0 <= found <= 1:
        return CheckResult(
            "nan_rate", "not_computable", None, most, "the share of missing answers is not known"
        )
    reason = f"{found:.2%} of the answers are missing, at most {most:.2%} may be"
    return CheckResult("nan_rate", "pass" if found <= most else "alert", found, most, reason)
