"""Latency of a single row."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none


def latency(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """The 99th percentile over single rows is at most ``gate.p99_latency_ms``."""
    found, most = finite_or_none(evidence.p99_latency_ms), config.gate.p99_latency_ms
    if found is None or found < 0:
        return GateCheckResult("latency", "not_computable", None, most, "the latency was not measured")
    reason = f"p99 of single rows is {found:.3g} ms, gate.p99_latency_ms allows {most:g} ms"
    return GateCheckResult("latency", "pass" if found <= most else "alert", found, most, reason)
