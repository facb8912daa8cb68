"""All checks together: the gate's report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import Check, CheckResult, Evidence
from homeostat.core.gate.latency import latency
from homeostat.core.gate.metric import metric
from homeostat.core.gate.nan_rate import nan_rate
from homeostat.core.gate.output_sanity import output_sanity
from homeostat.core.gate.slices import slices
from homeostat.core.gate.training_rows import training_rows

#: Every check of the gate, in the order of the report.
CHECKS: Mapping[str, Check] = {
    "metric": metric,
    "latency": latency,
    "training_rows": training_rows,
    "nan_rate": nan_rate,
    "slices": slices,
    "output_sanity": output_sanity,
}


@dataclass(frozen=True, slots=True)
class GateReport:
    """Passed only when every check passed. ``notes`` are worth knowing and decide nothing."""

    passed: bool
    checks: tuple[CheckResult, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: no NaN, no numpy."""
        return {
            "passed": self.passed,
            "checks": [check.to_json() for check in self.checks],
            "notes": list(self.notes),
        }

    def sentence(self) -> str:
        """What a person is told: what was found wrong, or how the candidate compares."""
        if self.passed:
            return f"the gate passed: {self.checks[0].reason}"
        failed = [check for check in self.checks if check.verdict != "pass"]
        return "the gate refused: " + "; ".join(f"{check.name}: {check.reason}" for check in failed)


def decide(evidence: Evidence, config: ModelConfig) -> GateReport:
    """Hold a candidate against every check; what cannot be computed does not pass."""
    checks = tuple(check(evidence, config) for check in CHECKS.values())
    notes = tuple(f"environment: {difference}" for difference in evidence.parity)
    return GateReport(all(check.verdict == "pass" for check in checks), checks, notes)
