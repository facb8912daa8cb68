"""Missing predictions."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none


def nan_rate(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """The share of the holdout without a prediction is at most ``gate.max_nan_rate``."""
    found, most = finite_or_none(evidence.nan_rate), config.gate.max_nan_rate
    if found is None or not 0 <= found <= 1:
        return GateCheckResult(
            "nan_rate", "not_computable", None, most, "the share of missing predictions is not known"
        )
    reason = f"{found:.2%} of the predictions are missing, gate.max_nan_rate allows {most:.2%}"
    return GateCheckResult("nan_rate", "pass" if found <= most else "alert", found, most, reason)
