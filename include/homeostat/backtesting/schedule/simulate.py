"""Run a rule for retraining over the windows, with labels that arrive one window late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from homeostat.backtesting.schedule.score_matrix import Schedule, ScoreMatrix

#: Share of the windows that policies are tuned on.
TUNING_SHARE = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known after window ``window``: the serving version's losses since window ``start``.

    The last of ``losses`` is that of window ``window - 1``; there are none before that.
    """

    window: int
    start: int
    losses: np.ndarray


def tuning_windows(matrix: ScoreMatrix) -> int:
    """Return the number of windows that policies are tuned on, at least 2."""
    return min(matrix.windows, max(2, int(TUNING_SHARE * matrix.windows)))


def simulate(matrix: ScoreMatrix, retrain: Callable[[Known], bool]) -> Schedule:
    """Return the schedule of a rule that is asked after every window but the last.

    A version that could not be trained is not in the schedule: the one before serves on.
    """
    schedule: list[int] = []
    start = 0
    for window in range(matrix.windows - 1):
        known = Known(window, start, matrix.losses[start, start:window])
        if retrain(known) and matrix.available[window + 1]:
            start = window + 1
            schedule.append(start)
    return tuple(schedule)
