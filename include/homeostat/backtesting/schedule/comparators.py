"""Retraining policies of the literature, on the matrix of losses; nothing more is fitted.

All of them know labels one window late: after window j, the losses up to window j - 1. What a paper tunes
offline is tuned on the first 40 % of the windows, where every version's losses are known, for the least
:func:`~homeostat.backtesting.schedule.best.objective`. The schedule covers all windows, so on the first 40 %
it profits from hindsight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from homeostat.backtesting.schedule.best import objective, periodic_schedule
from homeostat.backtesting.schedule.forecast import upf
from homeostat.backtesting.schedule.score_matrix import Schedule, ScoreMatrix
from homeostat.backtesting.schedule.simulate import Known, simulate, tuning_windows

#: At most so many thresholds are tried.
_THRESHOLDS = 60
#: Windows that give a version's usual loss, and the thresholds of the CUSUM in standard deviations.
_USUAL, _CUSUM_THRESHOLDS = 3, (1.0, 2.0, 3.0, 4.0, 5.0, 8.0)


def tuned_period(matrix: ScoreMatrix, cost: float) -> Schedule:
    """Return the fixed period, or never, that is best on the first 40 % of the windows; ties: the longest."""
    periods = [matrix.windows, *range(tuning_windows(matrix), 0, -1)]  # the first is never
    return _tuned(matrix, cost, periods, lambda part, every: periodic_schedule(part.windows, every))


def cara(matrix: ScoreMatrix, cost: float) -> Schedule:
    """Return the schedule of Cara, the Cost-Aware Retraining Algorithm.

    A. Mahadevan, M. Mathioudakis, "Cost-aware retraining for machine learning", Knowledge-Based Systems
    (2024). After each batch, keeping a model costs its staleness and retraining costs a constant. There are
    three variants: a threshold on the staleness of the newest batch, one on the staleness accumulated since
    the last retrain, and a period with an offset; each takes the parameter that costs least on the offline
    batches. Of the three, the one that costs least there is taken.

    Chosen here, since the matrix has losses only: the staleness of a version in a window is its mean loss on
    the window's labelled rows, which are both the queries and the data, all equally similar. The cost of a
    strategy counts what a new version loses, too. The thresholds that are tried are quantiles of the
    staleness that occurs.
    """
    windows = tuning_windows(matrix)
    offline = matrix.first(windows)
    served = [offline.losses[k, k:] for k in range(windows) if offline.available[k]]
    single = _quantiles(np.concatenate(served))
    added = _quantiles(np.concatenate([np.cumsum(losses) for losses in served]))
    rules: list[tuple[str, Any]] = [("period", (matrix.windows, 0))]  # never
    rules += [("newest", threshold) for threshold in single] + [("sum", threshold) for threshold in added]
    rules += [("period", (every, offset)) for every in range(1, windows) for offset in range(every)]

    def schedule(part: ScoreMatrix, rule: tuple[str, Any]) -> Schedule:
        kind, value = rule
        if kind == "period":
            every, offset = value
            return tuple(range(every - offset, part.windows, every))
        return simulate(part, lambda known: bool(len(known.losses)) and _staleness(kind, known) > value)

    return _tuned(matrix, cost, rules, schedule)


def _staleness(kind: str, known: Known) -> float:
    return float(known.losses[-1] if kind == "newest" else known.losses.sum())


def cusum(matrix: ScoreMatrix, cost: float) -> Schedule:
    """Return the schedule of a one-sided CUSUM on the loss.

    E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954): S = max(0, S + x - m - k), a retrain
    when S > h. x is the loss of the serving version in each window, m its mean over the first three windows
    that it served, k half a standard deviation. The standard deviation is that of the differences between
    successive losses of the first version, divided by sqrt 2. h is 1, 2, 3, 4, 5 or 8 standard deviations,
    the best on the first 40 % of the windows.
    """
    first = matrix.first(tuning_windows(matrix)).losses[0]
    spread = float(np.std(np.diff(first)) / np.sqrt(2)) if len(first) > 2 else 0.0

    def schedule(part: ScoreMatrix, threshold: float) -> Schedule:
        def alarm(known: Known) -> bool:
            if len(known.losses) <= _USUAL:
                return False
            usual = float(known.losses[:_USUAL].mean())
            level = 0.0
            for loss in known.losses[_USUAL:]:
                level = max(0.0, level + float(loss) - usual - spread / 2)
            return level > threshold * spread

        return simulate(part, alarm)

    return _tuned(matrix, cost, _CUSUM_THRESHOLDS[::-1], schedule)


def _tuned(
    matrix: ScoreMatrix, cost: float, values: Iterable[Any], schedule: Callable[[ScoreMatrix, Any], Schedule]
) -> Schedule:
    """Return the schedule with the value that costs least on the first windows; of equal ones the first."""
    offline = matrix.first(tuning_windows(matrix))

    def spent(value: Any) -> float:
        found = schedule(offline, value)
        return objective(offline.loss(found), len(found), offline.windows, cost)

    return schedule(matrix, min(values, key=spent))


def _quantiles(values: np.ndarray) -> list[float]:
    found = np.unique(values)
    if len(found) > _THRESHOLDS:
        found = np.unique(np.quantile(values, np.linspace(0, 1, _THRESHOLDS)))
    return [float(value) for value in found[::-1]]


#: Policies of the literature, by the name that ``--compare`` takes.
COMPARATORS: dict[str, Callable[[ScoreMatrix, float], Schedule]] = {
    "tuned_period": tuned_period,
    "cara": cara,
    "upf": upf,
    "cusum": cusum,
}
