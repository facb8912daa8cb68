"""Health check: p99 latency, against the control cohort and against the plan's limit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, log

from homeostat.core.rollout.evidence import LATENCY_EDGES_MS
from homeostat.core.rollout.health.check_names import HealthCheckName
from homeostat.core.rollout.health.result import (
    DOUBT,
    CandidateEvidence,
    HealthCheckResult,
    HealthVerdict,
    conclude,
    incomparable,
)
from homeostat.core.rollout.health.sequential import log_e_above_limit, log_e_excess, log_e_slower

#: Slower than this times the control cohort's is too slow.
TOLERANCE = 1.2
#: What the test must show, in latency bins, which are 10 % apart. The observed p99 decides the rest: testing
#: for all 20 % would pass a version that is 50 % slower for lack of requests.
_BINS = 1
_BIN_WIDTH = 1.1
#: Requests of one batch are not independent: against the limit each counts as a quarter of an independent
#: request. That is exact where batches of four took equally long.
BATCH_SIZE = 4
#: The same for the comparison with the control, where load that both versions share does no harm. The gateway
#: times each batch once. Simulated with every request timed, in batches of three on average, alpha holds for
#: a version exactly at the tolerance with 3, and not with 2.
COMPARED_BATCH_SIZE = 3
#: The part of a step's alpha for the comparison with the control; the rest is for the plan's limit.
CONTROL_PART = 0.8
#: Requests that must lie above a quantile for it to be estimated.
TAIL = 40
#: A difference below this part of the plan's limit is ignored (1 ms for 200 ms).
_NEGLIGIBLE = 0.005


def p99_latency(evidence: CandidateEvidence) -> HealthCheckResult:
    """Check that p99 is within 20 % of the control cohort's and below the plan's ``p99_latency_ms``.

    The p99 of a few hundred requests is two or three of them and proves nothing alone. FAIL against the
    control needs both: latencies that as a whole are significantly more than 10 % (one bin) above the
    control's (:func:`~homeostat.core.rollout.health.sequential.log_e_slower`) and an observed p99 more than
    20 % above it; with fewer than 4,000 requests, the highest quantile with :data:`TAIL` requests above it
    replaces p99. FAIL against the limit: significantly more than 1 % of the requests are slower, and more
    than of the control's: on a busy machine both are slow, which is no fault of the candidate. Both from
    ``window`` requests on, with each request counted as a part of one (:data:`BATCH_SIZE`,
    :data:`COMPARED_BATCH_SIZE`). Compared step by step, since load changes with the share; alpha is split
    evenly over the steps, and within a step the comparison with the control takes :data:`CONTROL_PART`.

    A candidate with more members than the champion takes longer by design: against the control, its latency
    is divided by ``plan.slowdown``. The limit applies unchanged.
    """
    own, other = evidence.candidate.latency, evidence.control.latency
    n, m, limit = sum(own), sum(other), evidence.plan.p99_latency_ms
    alpha = evidence.alpha / evidence.tests
    enough, enough_late = -log(CONTROL_PART * alpha), -log((1.0 - CONTROL_PART) * alpha)
    figures: dict[str, float] = {"requests": n, "control_requests": m, "limit_ms": limit}
    if not n:
        return incomparable(
            evidence, HealthCheckName.P99_LATENCY, "no latencies of the candidate were counted", figures
        )
    late, p99 = slower_than(own, limit), quantile(own, 0.99)
    figures |= {"p99_ms": p99, "over_limit": late, "log_evidence_needed": enough}
    if (
        n >= evidence.plan.window
        and min(log_e_late(own, limit), log_e_later(own, other, limit)) >= enough_late
    ):
        seen = f"{late} of {n} requests took more than {limit:g} ms"
        return HealthCheckResult(
            HealthCheckName.P99_LATENCY,
            HealthVerdict.FAIL,
            f"{seen}: p99 is significantly above rollback.p99_latency_ms",
            figures,
        )
    seen = f"p99 {p99:.3g} ms over {n} requests"
    if not m:
        return incomparable(
            evidence, HealthCheckName.P99_LATENCY, f"{seen}; no control cohort to compare with", figures
        )
    control, level = quantile(other, 0.99), min(0.99, max(0.5, 1.0 - TAIL / min(n, m)))
    high, usual = quantile(own, level), quantile(other, level)
    usual *= evidence.plan.slowdown
    bins = _BINS + ceil(log(evidence.plan.slowdown) / log(_BIN_WIDTH))
    log_e = log_e_slower(_independent(other), _independent(own), bins, where=evidence.champion_then.latency)
    figures |= {"control_p99_ms": control, "level": level, "ratio": high / usual, "log_evidence": log_e}
    too_slow = high > TOLERANCE * usual and high - usual > _NEGLIGIBLE * limit
    significant = too_slow and n >= evidence.plan.window and log_e >= enough
    compared = f"the fastest {level:.0%} within {high:.3g} and {usual:.3g} ms"
    if evidence.plan.slowdown > 1:
        compared += f", {evidence.plan.slowdown:g} times the control's"
    return conclude(
        evidence,
        HealthCheckName.P99_LATENCY,
        f"{seen}, control {control:.3g} ms over {m}; {compared}",
        figures,
        fail="more than 20 % slower, and significantly so" if significant else "",
        doubt="slower, but not significantly"
        if (too_slow and log_e >= DOUBT) or p99 > limit >= control
        else "",
        fine="within 20 % (or the difference is negligible), and "
        + (f"below {limit:g} ms" if p99 <= limit else f"the control is above {limit:g} ms as well"),
    )


def quantile(counts: Sequence[int], q: float) -> float:
    """Return the ``q`` quantile of latency counts in milliseconds, log-interpolated within its bin.

    The open last bin counts as one bin wide; 0 without counts.
    """
    wanted = q * sum(counts)
    before = 0
    for i, reached in enumerate(accumulate(counts)):
        if reached >= wanted and counts[i]:
            inside = (wanted - before) / counts[i]
            return float(LATENCY_EDGES_MS[0] * 1.1 ** (i - 1 + inside))
        before = reached
    return 0.0


def log_e_late(counts: Sequence[int], limit_ms: float) -> float:
    """Return the log e-value against "at most 1 % of the requests take longer than the limit"."""
    return log_e_above_limit(slower_than(counts, limit_ms) / BATCH_SIZE, sum(counts) / BATCH_SIZE, 0.01)


def log_e_later(own: Sequence[int], other: Sequence[int], limit_ms: float) -> float:
    """Return the log e-value against "as many of the control's requests take longer than the limit".

    Infinite without requests of the control: then the limit alone decides.
    """
    if not sum(other):
        return float("inf")
    pair = [n // BATCH_SIZE for side in (own, other) for n in (slower_than(side, limit_ms), sum(side))]
    return log_e_excess([(pair[0], pair[1], pair[2], pair[3])])


def _independent(counts: Sequence[int]) -> list[float]:
    return [count / COMPARED_BATCH_SIZE for count in counts]


def slower_than(counts: Sequence[int], limit_ms: float) -> int:
    """Return how many latencies are in bins wholly above the limit."""
    return sum(c for i, c in enumerate(counts) if i and LATENCY_EDGES_MS[i - 1] >= limit_ms)
