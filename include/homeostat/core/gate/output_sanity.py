"""A model that predicts the same for every input."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none


def output_sanity(
    evidence: GateEvidence,
    config: ModelConfig,  # noqa: ARG001  # the signature of a check
) -> GateCheckResult:
    """The holdout's rows do not all get the same output (probabilities count, where there are some).

    A metric may not detect it: for a rare class, always predicting the other is nearly always right.
    """
    found = finite_or_none(evidence.distinct_predictions)
    if found is None:
        return GateCheckResult("output_sanity", "not_computable", None, 2, "the outputs were not recorded")
    if found >= 2:
        return GateCheckResult(
            "output_sanity", "pass", found, 2, f"{found:.0f} different outputs on the holdout"
        )
    reason = "the same output for every row of the holdout" if found else "no output at all on the holdout"
    return GateCheckResult("output_sanity", "alert", found, 2, reason)
