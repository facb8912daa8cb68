"""What one row costs."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import CheckResult, Evidence, known


def latency(evidence: Evidence, config: ModelConfig) -> CheckResult:
    """The 99th percentile over single rows is at most ``gate.p99_latency_ms``."""
    found, most = known(evidence.p99_latency_ms), config.gate.p99_latency_ms
    if found is None or found < 0:
        return CheckResult("latency", "not_computable", None, most, "the latency was not measured")
    reason = f"p99 of single rows is {found:.3g} ms, at most {most:g} ms is allowed"
    return CheckResult("latency", "pass" if found <= most else "alert", found, most, reason)
