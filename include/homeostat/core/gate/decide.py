"""Run all checks of the gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheck, GateCheckResult, GateEvidence
from homeostat.core.gate.latency import latency
from homeostat.core.gate.metric_regression import metric
from homeostat.core.gate.nan_rate import nan_rate
from homeostat.core.gate.output_sanity import output_sanity
from homeostat.core.gate.slices import slices
from homeostat.core.gate.training_rows import training_rows

#: Every check of the gate, in the order of the report.
CHECKS: Mapping[str, GateCheck] = {
    "metric": metric,
    "latency": latency,
    "training_rows": training_rows,
    "nan_rate": nan_rate,
    "slices": slices,
    "output_sanity": output_sanity,
}


@dataclass(frozen=True, slots=True)
class GateReport:
    """The results of all checks; passed when every check passed. ``notes`` do not affect the decision."""

    passed: bool
    checks: tuple[GateCheckResult, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON: no NaN, no numpy."""
        return {
            "passed": self.passed,
            "checks": [check.to_json() for check in self.checks],
            "notes": list(self.notes),
        }

    def sentence(self) -> str:
        """Return the result in a sentence: the failed checks, or how the candidate compares."""
        if self.passed:
            return f"The gate passed: {self.checks[0].reason}"
        return f"The gate refused: {self.failures()}"

    def failures(self) -> str:
        """Return why the candidate did not pass: each failed check, its figures and its setting."""
        return "; ".join(
            f"{check.name}: {check.reason}{_setting(check)}"
            for check in self.checks
            if check.verdict != "pass"
        )


#: The setting that decides a check, for reasons without one: what is not known was compared with nothing.
_SETTINGS = {
    "metric": "gate.metric",
    "latency": "gate.p99_latency_ms",
    "training_rows": "gate.min_training_rows",
    "nan_rate": "gate.max_nan_rate",
    "slices": "gate.slices",
}


def _setting(check: GateCheckResult) -> str:
    setting = _SETTINGS.get(check.name)
    return f" ({setting})" if setting and "gate." not in check.reason else ""


def decide_gate(evidence: GateEvidence, config: ModelConfig) -> GateReport:
    """Run every check; a check that cannot be computed does not pass."""
    checks = tuple(check(evidence, config) for check in CHECKS.values())
    notes = tuple(f"environment: {difference}" for difference in evidence.environment_differences)
    return GateReport(all(check.verdict == "pass" for check in checks), checks, notes)
