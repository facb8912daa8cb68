"""The gate: checks that a candidate must pass before it serves traffic."""

from homeostat.core.gate.decide import CHECKS, GateReport, decide_gate
from homeostat.core.gate.evidence import GateCheck, GateCheckResult, GateEvidence

__all__ = ["CHECKS", "GateCheck", "GateCheckResult", "GateEvidence", "GateReport", "decide_gate"]
