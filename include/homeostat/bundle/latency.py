"""Time single rows of two versions side by side, as independently of this machine's load as possible.

The two versions take turns on the same rows, in the order A B B A, so that whatever else runs here slows both
alike. Each row is tried several times, in rounds that are apart in time, and its best time counts: a row's
cost is the least that it takes, everything above it is disturbance.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import pandas as pd

from homeostat.bundle.predictor import Predictor

try:
    import resource

    _THREAD: int | None = resource.RUSAGE_THREAD
except (ImportError, AttributeError):  # neither Windows nor macOS counts what one thread waited
    _THREAD = None

_ROWS = 100
#: With fewer rows the interval of their median would reach to the extremes.
_MIN_ROWS = 16
_TRIES = 3
#: The slowest part of the rows, by either version, is tried again as often: p99 depends on them alone.
_SLOWEST = 0.1
#: After this time, in milliseconds of calls, no row beyond the first :data:`_MIN_ROWS` is added.
_ENOUGH_MS = 3_000.0
#: After this time nothing more is tried.
_DEADLINE_MS = 60_000.0


@dataclass(frozen=True, slots=True)
class CallTime:
    """How long one call took in milliseconds.

    ``wall`` is what a clock shows. ``unloaded`` leaves out the time that the call could have computed but
    had no CPU: on an idle machine, both are the same.
    """

    wall: float
    unloaded: float


@dataclass(frozen=True, slots=True)
class Latency:
    """A version's latency for single rows in milliseconds, from the best time of each row.

    ``p99`` is the 99th percentile over the rows of wall time, ``unloaded_p99`` that of ``CallTime.unloaded``,
    ``typical`` the median of the latter.
    """

    p99: float
    unloaded_p99: float
    typical: float


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How much slower the candidate is than the champion, per row.

    ``ratio`` is the median over ``rows`` of candidate's / champion's time, with its 99 % interval ``low`` to
    ``high`` (None with fewer than eight rows). ``added_ms`` is the median difference in milliseconds.
    """

    ratio: float
    low: float | None
    high: float | None
    added_ms: float
    rows: int


@dataclass(frozen=True, slots=True)
class LatencyComparison:
    """What :func:`compare_latency` measured; ``champion`` and ``slowdown`` are None without a champion."""

    candidate: Latency
    champion: Latency | None = None
    slowdown: Slowdown | None = None


Timer = Callable[[Callable[[], object]], CallTime]


def time_call(call: Callable[[], object]) -> CallTime:
    """Call it, and return how long that took, with and without the wait for a CPU.

    A thread that never gave up its CPU of its own accord (``ru_nvcsw`` of getrusage(2)) had work all the
    time: beyond its CPU time, it waited for a CPU that something else had, and ``unloaded`` is the CPU time.
    A call that waits for something (input, another thread, a lock) needs that wait on an idle machine too:
    ``unloaded`` is the wall time, as also where the system does not count these waits.
    """
    counted = _counts_waits()
    before, cpu, wall = _waits() if counted else 0, time.thread_time(), time.perf_counter()
    call()
    wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
    waited = not counted or _waits() != before
    # CPU time of 0 or above the wall time comes from a clock with coarse ticks, and says nothing.
    return CallTime(wall * 1e3, (cpu if not waited and 0 < cpu < wall else wall) * 1e3)


def _waits() -> int:
    """Return how often this thread has given up its CPU to wait for something."""
    assert _THREAD is not None  # noqa: S101  # _counts_waits() was asked first
    return resource.getrusage(_THREAD).ru_nvcsw


@cache
def _counts_waits() -> bool:
    """Whether the system counts waits: some sandboxes always report 0."""
    if _THREAD is None:
        return False
    before = _waits()
    time.sleep(1e-4)
    return _waits() > before


def compare_latency(
    candidate: Predictor,
    champion: Predictor | None,
    holdout: pd.DataFrame,
    *,
    timer: Timer = time_call,
    seed: int = 0,
) -> LatencyComparison:
    """Time both versions on single rows over the whole holdout, in one thread as in the gateway.

    The rows come in a random order, given by ``seed``, which also draws which version begins with a row; in
    the next round the other one does. Takes a few seconds, and a minute at most for versions that take
    seconds per row (then on fewer rows).
    """
    from threadpoolctl import threadpool_limits

    versions = [candidate] if champion is None else [candidate, champion]
    at = np.unique(np.linspace(0, len(holdout) - 1, min(_ROWS, len(holdout))).astype(int))
    singles = [holdout.iloc[[i]] for i in at]
    with threadpool_limits(limits=1):
        for version in versions:  # the first call of a version may load or compile something
            timer(partial(version.predict, singles[0]))
        wall, unloaded = _best_times(versions, singles, timer, np.random.default_rng(seed))
    latencies = [
        Latency(_p99(own), _p99(net), float(np.median(net))) for own, net in zip(wall, unloaded, strict=True)
    ]
    if champion is None:
        return LatencyComparison(latencies[0])
    return LatencyComparison(latencies[0], latencies[1], slowdown(unloaded[0], unloaded[1]))


def _best_times(
    versions: Sequence[Predictor], singles: Sequence[pd.DataFrame], timer: Timer, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best wall and unloaded times of each row that was timed, both of shape (versions, rows)."""
    wall, unloaded = np.full((2, len(versions), len(singles)), math.inf)
    begins = rng.integers(0, len(versions), len(singles))
    spent = 0.0

    def try_row(row: int, turn: int) -> None:
        nonlocal spent
        for k in range(len(versions)):
            version = (begins[row] + turn + k) % len(versions)
            took = timer(partial(versions[version].predict, singles[row]))
            wall[version, row] = min(wall[version, row], took.wall)
            unloaded[version, row] = min(unloaded[version, row], took.unloaded)
            spent += took.wall

    order = rng.permutation(len(singles))
    timed = 0
    for row in order:
        if spent > (_ENOUGH_MS if timed >= _MIN_ROWS else _DEADLINE_MS):
            break
        try_row(row, 0)
        timed += 1
    order = order[:timed]

    def try_again(rows: np.ndarray, turns: range) -> None:
        for turn in turns:
            for row in rng.permutation(rows):
                if spent > _DEADLINE_MS:
                    return
                try_row(row, turn)

    try_again(order, range(1, _TRIES))
    most = math.ceil(timed * _SLOWEST)
    slowest = {row for own in unloaded for row in order[np.argsort(-own[order])][:most]}
    try_again(np.array(sorted(slowest)), range(_TRIES, 2 * _TRIES))
    return wall[:, order], unloaded[:, order]


def _p99(best: np.ndarray) -> float:
    return float(np.quantile(best, 0.99, method="higher"))


def slowdown(candidate: np.ndarray, champion: np.ndarray) -> Slowdown:
    """Compare times of the same rows, both of shape (n,) and above 0.

    The median over the rows, since a disturbance hits single rows: where it fell on one version alone, the
    row's ratio is far off, and a mean or a high quantile of the ratios with it. A candidate that is slower on
    few rows only is therefore not detected here; its p99 is.
    """
    ratio, low, high = median_interval(candidate / champion)
    return Slowdown(ratio, low, high, float(np.median(candidate - champion)), len(candidate))


def median_interval(values: np.ndarray, error: float = 0.01) -> tuple[float, float | None, float | None]:
    """Return the median of n values with its interval, None and None where n is too small for one.

    The interval lies between two order statistics and needs no assumption about the distribution: the number
    of values below the median is binomial with p = 1/2 (David & Nagaraja 2003, *Order Statistics*, 7.1).
    """
    from scipy.stats import binom

    ordered = np.sort(values)
    k = int(binom.ppf(error / 2, len(ordered), 0.5))  # P(X < k) <= error / 2
    if k == 0:
        return float(np.median(ordered)), None, None
    return float(np.median(ordered)), float(ordered[k - 1]), float(ordered[-k])
