"""How near a policy comes to the best schedule in hindsight, and how sure a difference is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from homeostat.backtesting.schedule.best import best_schedule, cheapest_schedule, even_schedule, objective
from homeostat.backtesting.schedule.score_matrix import Schedule, ScoreMatrix
from homeostat.core.performance.batch_means import row_variance

#: A smaller difference between the best and the even schedule is rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much less one policy loses than another: a mean per row with its standard error.

    ``error`` is None for fewer than two windows.
    """

    mean: float
    error: float | None

    @classmethod
    def of(cls, other: np.ndarray, own: np.ndarray, weights: np.ndarray, fee: float = 0.0) -> Self:
        """Compare losses window by window, shape (W,) each; positive: ``own`` loses less than ``other``.

        Rows of a window are not independent, and neither are neighbouring windows: the standard error comes
        from the means of blocks of windows, see :func:`~homeostat.core.performance.batch_means.row_variance`.

        Parameters
        ----------
        weights
            Shares of the rows, shape (W,); windows of weight 0 are left out.
        fee
            What ``own`` costs more than ``other``, per row.
        """
        counted = weights > 0
        n = int(counted.sum())
        if not n:
            return cls(-fee, None)
        gains = ((other - own) * weights)[counted] * (n / weights.sum())
        error = math.sqrt(row_variance(gains) / n) if n > 1 else None
        return cls(float(gains.mean()) - fee, error)

    def at_least(self, errors: float) -> float:
        """Return the mean less so many standard errors; minus infinity without a standard error."""
        return -math.inf if self.error is None else self.mean - errors * self.error

    def at_most(self, errors: float) -> float:
        """Return the mean plus so many standard errors; infinity without a standard error."""
        return math.inf if self.error is None else self.mean + errors * self.error


@dataclass(frozen=True, slots=True)
class Limit:
    """A policy between an even schedule and the best one in hindsight, both with as many retrains.

    ``loss`` is the policy's own mean loss. ``skill`` is (even - loss) / (even - hindsight): 0 as good as an
    even schedule, 1 as good as the best in hindsight; None where these two are equal. It can exceed 1 for a
    policy that serves other versions than those of the matrix. ``regret`` is how much larger the policy's
    objective is than that of ``cheapest``, the best schedule in hindsight at ``cost`` with any number of
    retrains.
    """

    retrains: int
    cost: float
    loss: float
    even: Schedule
    even_loss: float
    hindsight: Schedule
    hindsight_loss: float
    cheapest: Schedule
    cheapest_loss: float
    skill: float | None
    regret: float

    @classmethod
    def of(cls, matrix: ScoreMatrix, loss: float, retrains: int, cost: float) -> Self:
        """Compare a policy's mean loss and number of retrains with the schedules of the matrix.

        Parameters
        ----------
        cost
            What a retrain may cost, in points of the loss over one window.
        """
        windows = matrix.windows
        even, hindsight = even_schedule(windows, retrains), best_schedule(matrix, retrains)
        even_loss, hindsight_loss = matrix.loss(even), matrix.loss(hindsight)
        cheapest = cheapest_schedule(matrix, cost)
        cheapest_loss = matrix.loss(cheapest)
        room = even_loss - hindsight_loss
        return cls(
            retrains=retrains,
            cost=cost,
            loss=loss,
            even=even,
            even_loss=even_loss,
            hindsight=hindsight,
            hindsight_loss=hindsight_loss,
            cheapest=cheapest,
            cheapest_loss=cheapest_loss,
            skill=(even_loss - loss) / room if room > _ROUNDING else None,
            regret=objective(loss, retrains, windows, cost)
            - objective(cheapest_loss, len(cheapest), windows, cost),
        )
