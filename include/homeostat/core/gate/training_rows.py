"""The number of rows that the candidate was trained on."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none


def training_rows(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """The candidate was trained on at least ``gate.min_training_rows`` rows."""
    found, least = finite_or_none(evidence.training_rows), float(config.gate.min_training_rows)
    if found is None:
        reason = (
            "the number of rows is not known: log the training data in MLflow with the context 'training', "
            "or give training_rows"
        )
        return GateCheckResult("training_rows", "not_computable", None, least, reason)
    reason = f"trained on {found:.0f} rows, gate.min_training_rows is {least:.0f}"
    return GateCheckResult("training_rows", "pass" if found >= least else "alert", found, least, reason)
