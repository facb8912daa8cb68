"""A model that answers the same whatever it is asked."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import CheckResult, Evidence, known


def output_sanity(evidence: Evidence, config: ModelConfig) -> CheckResult:  # noqa: ARG001  # a check's shape
    """The holdout's rows do not all get the same output (probabilities count, where there are some).

    A metric may not notice: on a rare class, "never" is right nearly always.
    """
    found = known(evidence.distinct_predictions)
    if found is None:
        return CheckResult("output_sanity", "not_computable", None, 2, "the outputs were not looked at")
    if found >= 2:
        return CheckResult("output_sanity", "pass", found, 2, f"{found:.0f} different outputs on the holdout")
    reason = "the same output for every row of the holdout" if found else "no output at all on the holdout"
    return CheckResult("output_sanity", "alert", found, 2, reason)
