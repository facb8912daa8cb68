"""Latency of a single row, against the champion's and against the limit."""

from __future__ import annotations

from homeostat.config import ModelConfig
from homeostat.core.gate.evidence import GateCheckResult, GateEvidence, finite_or_none

#: A difference below this part of ``gate.p99_latency_ms`` is ignored (1 ms for 200 ms), as in the canary.
NEGLIGIBLE = 0.005


def latency(evidence: GateEvidence, config: ModelConfig) -> GateCheckResult:
    """At most ``gate.max_slowdown`` times the champion's time, and p99 at most ``gate.p99_latency_ms``.

    Against the champion, it fails when the whole interval of the ratio is above ``max_slowdown`` and the
    difference is not :data:`NEGLIGIBLE`. ``max_slowdown`` is for each member: a candidate with three members
    may take three times as long as a champion with one.

    The limit applies to p99 as on a machine without other load: without the wait for a CPU, and divided by
    how much slower the champion is now than when it was validated. A champion of an older release has no
    such record: where it exceeds the limit here itself, a candidate passes that is not surely slower. The
    wall time is reported, and decides only where nothing else is known.
    """
    limit, members = config.gate.p99_latency_ms, max(1.0, finite_or_none(evidence.members_ratio) or 1.0)
    most = config.gate.max_slowdown * members
    more = f" for {members:g} times as many members" if members > 1 else ""
    wall = _time(evidence.p99_latency_ms)
    if wall is None:
        return GateCheckResult("latency", "not_computable", None, limit, "the latency was not measured")
    unloaded, champion = _time(evidence.unloaded_p99_ms), _time(evidence.champion_unloaded_p99_ms)
    machine = finite_or_none(evidence.machine_slowdown)
    slower = max(1.0, machine or 1.0)
    found = (wall if unloaded is None else min(wall, unloaded)) / slower
    seen = f"p99 of single rows is {found:.4g} ms{_as_measured(wall, found, slower)}"
    seen += "" if champion is None else f", the champion's {champion / slower:.4g} ms"
    compared = evidence.slowdown or {}
    ratio, low, high, added = (
        finite_or_none(compared.get(name)) for name in ("ratio", "low", "high", "added_ms")
    )
    if ratio is not None:
        seen += f", {ratio:.3g} times the champion's per row"
        seen += "" if low is None or high is None else f" (99 % interval {low:.3g} to {high:.3g})"
    if ratio is not None and low is not None and low > most and (added or 0.0) / slower > NEGLIGIBLE * limit:
        reason = (
            f"{seen}: slower than the champion by more than gate.max_slowdown allows ({most:g} times{more}). "
            "Simplify the pipeline, or raise gate.max_slowdown if the slower model is wanted"
        )
        return GateCheckResult("latency", "alert", ratio, most, reason)
    if found <= limit:
        reason = f"{seen}; gate.p99_latency_ms allows {limit:g} ms"
        return GateCheckResult("latency", "pass", found, limit, reason)
    if machine is None and champion is not None and champion > limit and low is not None and low <= 1:
        reason = (
            f"{seen}: both are above gate.p99_latency_ms ({limit:g} ms) on this machine, and the candidate "
            "is not surely slower than the champion, which serves"
        )
        return GateCheckResult("latency", "pass", found, limit, reason)
    reason = f"{seen}; gate.p99_latency_ms allows {limit:g} ms"
    return GateCheckResult("latency", "alert", found, limit, reason)


def _time(value: object) -> float | None:
    found = finite_or_none(value)
    return None if found is None or found < 0 else found


def _as_measured(wall: float, found: float, slower: float) -> str:
    """Say how the wall time differs from the time that is compared with the limit, where it does."""
    why = []
    if slower > 1.1:
        why.append(f"the champion takes {slower:.3g} times as long as when it was validated")
    if wall / slower > 1.1 * found:
        why.append("calls waited for a CPU")
    return f" ({wall:.4g} ms with this machine's other load: {', '.join(why)})" if why else ""
