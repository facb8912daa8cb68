"""Health check: p99 latency, against the control cohort and against the plan's limit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import log

from homeostat.core.rollout.evidence import LATENCY_EDGES_MS
from homeostat.core.rollout.health.result import DOUBT, Case, HealthResult, Verdict, conclude, incomparable
from homeostat.core.rollout.health.sequential import slower, surely_more_often

NAME = "p99_latency"
#: Slower than this times the control cohort's is too slow.
TOLERANCE = 1.2
#: What has to be sure, in latency slots, which are 10 % apart. The observed p99 decides about the rest: to be
#: sure of all 20 % would let a version that is 50 % slower pass for want of answers.
_SLOTS = 1
#: Requests that wait for each other are answered together and tell little more than one of them would: each
#: counts as a quarter of an independent one. That is exact where four and four took equally long.
TOGETHER = 4
#: Requests above a quantile without which it is anybody's guess.
TAIL = 40
#: A difference below this part of the plan's limit is none that a client could feel (1 ms for 200 ms).
_FELT = 0.005


def p99_latency(case: Case) -> HealthResult:
    """p99 within 20 % of the control cohort's and under the plan's ``p99_latency_ms``.

    The p99 of a few hundred requests is two or three of them, so that it alone proves nothing. FAIL against
    the control needs both: latencies as a whole that are surely more than 10 % (one slot) above the
    control's (:func:`~homeostat.core.rollout.health.sequential.slower`) and an observed p99 more than 20 %
    above it; with fewer than 4,000 requests the highest quantile that :data:`TAIL` of them lie above
    stands in for p99. FAIL against the limit: surely more than 1 % of the answers are slower than it. Both
    from the plan's ``window`` of answers on, and with every request counted as a part of one
    (:data:`TOGETHER`). Compared step by step, since load changes with the share; alpha is split over the
    steps and the two tests.
    """
    own, other = case.candidate.latency, case.control.latency
    n, m, limit = sum(own), sum(other), case.plan.p99_latency_ms
    enough = -log(case.alpha / (2 * case.tests))
    figures: dict[str, float] = {"requests": n, "control_requests": m, "limit_ms": limit}
    if not n:
        return incomparable(case, NAME, "no latencies of the candidate were counted", figures)
    late, p99 = slower_than(own, limit), quantile(own, 0.99)
    figures |= {"p99_ms": p99, "over_limit": late, "log_evidence_needed": enough}
    if n >= case.plan.window and surely_late(own, limit) >= enough:
        seen = f"{late} of {n} requests took more than {limit:g} ms"
        return HealthResult(NAME, Verdict.FAIL, f"{seen}: p99 is surely above the limit", figures)
    seen = f"p99 {p99:.3g} ms over {n} requests"
    if not m:
        return incomparable(case, NAME, f"{seen}; no control cohort to compare with", figures)
    control, level = quantile(other, 0.99), min(0.99, max(0.5, 1.0 - TAIL / min(n, m)))
    high, usual = quantile(own, level), quantile(other, level)
    wealth = slower(_apart(other), _apart(own), _SLOTS, where=case.champion_then.latency)
    figures |= {"control_p99_ms": control, "level": level, "ratio": high / usual, "log_evidence": wealth}
    too_slow = high > TOLERANCE * usual and high - usual > _FELT * limit
    surely = too_slow and n >= case.plan.window and wealth >= enough
    return conclude(
        case,
        NAME,
        f"{seen}, control {control:.3g} ms over {m}; p{100 * level:.3g} {high:.3g} and {usual:.3g} ms",
        figures,
        fail="more than 20 % slower, and surely not by chance" if surely else "",
        doubt="slower, but not surely so" if (too_slow and wealth >= DOUBT) or p99 > limit else "",
        fine=f"within 20 % or not to be felt, and under {limit:g} ms",
    )


def quantile(counts: Sequence[int], q: float) -> float:
    """The ``q`` quantile of latency counts in milliseconds, evenly spread within its slot on a log scale.

    The open last slot counts as one slot wide; 0 without counts.
    """
    wanted = q * sum(counts)
    before = 0
    for slot, reached in enumerate(accumulate(counts)):
        if reached >= wanted and counts[slot]:
            inside = (wanted - before) / counts[slot]
            return float(LATENCY_EDGES_MS[0] * 1.1 ** (slot - 1 + inside))
        before = reached
    return 0.0


def surely_late(counts: Sequence[int], limit_ms: float) -> float:
    """Log e-value against "at most 1 % of the requests take longer than the limit"."""
    return surely_more_often(slower_than(counts, limit_ms) / TOGETHER, sum(counts) / TOGETHER, 0.01)


def _apart(counts: Sequence[int]) -> list[float]:
    return [count / TOGETHER for count in counts]


def slower_than(counts: Sequence[int], limit_ms: float) -> int:
    """How many latencies lie in slots wholly above the limit: a slot that holds it is given the benefit."""
    return sum(c for slot, c in enumerate(counts) if slot and LATENCY_EDGES_MS[slot - 1] >= limit_ms)
