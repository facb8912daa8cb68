"""What a candidate has to show before it may meet traffic."""

from homeostat.gate.decide import CHECKS, GateReport, decide
from homeostat.gate.evidence import Check, CheckResult, Evidence

__all__ = ["CHECKS", "Check", "CheckResult", "Evidence", "GateReport", "decide"]
