"""The best schedules in hindsight, by dynamic programming, and an even one to compare with."""

from __future__ import annotations

import numpy as np

from homeostat.backtesting.schedule.score_matrix import Schedule, ScoreMatrix


def even_schedule(windows: int, retrains: int) -> Schedule:
    """Return so many retrains spread evenly: all versions serve the same number of windows, give or take one.

    A retrain after the last window serves none, so there are at most ``windows - 1``.
    """
    count = max(0, min(retrains, windows - 1))
    return tuple(round(n * windows / (count + 1)) for n in range(1, count + 1))


def periodic_schedule(windows: int, every: int) -> Schedule:
    """Return a retrain after every ``every`` windows."""
    return tuple(range(every, windows, every))


def best_schedule(matrix: ScoreMatrix, retrains: int) -> Schedule:
    """Return the schedule of the least loss with at most so many retrains.

    With c_m(e) the least loss of windows 0 to e - 1 with m retrains, and l(k, e) what version k loses in
    windows k to e - 1: c_0(e) = l(0, e), c_m(e) = min over k of c_{m-1}(k) + l(k, e). Time in O(m W^2).
    """
    totals = matrix.totals()
    windows = matrix.windows
    cost = totals[0].copy()
    choices: list[np.ndarray] = []
    for _ in range(max(0, min(retrains, windows - 1))):
        through = cost[:windows, None] + totals
        through[0] = np.inf  # no version is trained before the first window
        starts = through.argmin(axis=0)
        found = through[starts, np.arange(windows + 1)]
        if not found[windows] < cost[windows] and not (found < cost).any():
            break
        choices.append(np.where(found < cost, starts, -1))
        cost = np.minimum(found, cost)
    return _trace(choices, windows)


def _trace(choices: list[np.ndarray], windows: int) -> Schedule:
    """Follow the choices back from the last window; -1 means that one retrain fewer was as good."""
    schedule: list[int] = []
    end = windows
    for chosen in reversed(choices):
        start = int(chosen[end])
        if start > 0:
            schedule.append(start)
            end = start
    return tuple(reversed(schedule))


def cheapest_schedule(matrix: ScoreMatrix, cost: float) -> Schedule:
    """Return the schedule with the least :func:`objective`, with any number of retrains. Time in O(W^2)."""
    totals = matrix.totals()
    windows = matrix.windows
    fee = cost / windows
    least = totals[0].copy()
    chosen = np.zeros(windows + 1, dtype=np.int64)
    for end in range(2, windows + 1):
        through = least[1:end] + totals[1:end, end] + fee
        start = int(through.argmin()) + 1
        if through[start - 1] < least[end]:
            least[end], chosen[end] = through[start - 1], start
    schedule: list[int] = []
    end = windows
    while chosen[end] > 0:
        schedule.append(int(chosen[end]))
        end = int(chosen[end])
    return tuple(reversed(schedule))


def objective(loss: float, retrains: int, windows: int, cost: float) -> float:
    """Return the mean loss with the cost of the retrains: each costs ``cost`` over one window."""
    return loss + cost * retrains / windows
