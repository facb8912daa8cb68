"""What the candidate learnt from."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import CheckResult, Evidence, known


def training_rows(evidence: Evidence, config: ModelConfig) -> CheckResult:
    """At least ``gate.min_training_rows`` rows were fitted."""
    found, least = known(evidence.training_rows), float(config.gate.min_training_rows)
    if found is None:
        return CheckResult("training_rows", "not_computable", None, least, "the number of rows is not known")
    reason = f"fitted on {found:.0f} rows, at least {least:.0f} are asked for"
    return CheckResult("training_rows", "pass" if found >= least else "alert", found, least, reason)
