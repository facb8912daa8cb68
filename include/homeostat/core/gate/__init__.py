"""What a candidate has to show before it may meet traffic."""

from homeostat.core.gate.decide import CHECKS, GateReport, decide
from homeostat.core.gate.evidence import Check, CheckResult, Evidence

__all__ = ["CHECKS", "Check", "CheckResult", "Evidence", "GateReport", "decide"]
