"""UPF: forecast the losses of keeping and of retraining, and compare quantiles of their costs."""

from __future__ import annotations

from typing import Self

import numpy as np

from homeostat.backtesting.schedule.best import objective
from homeostat.backtesting.schedule.score_matrix import Schedule, ScoreMatrix
from homeostat.backtesting.schedule.simulate import Known, simulate, tuning_windows

#: The quantile of the costs that decides, and the horizons that are tried, in windows.
QUANTILE, HORIZONS = 0.95, (8, 4, 2, 1)
#: Ridge penalty per observation, on standardized features.
_PENALTY = 1e-3


def upf(matrix: ScoreMatrix, cost: float) -> Schedule:
    """Return the schedule of UPF, the Uncertainty-Performance Forecaster.

    F. Regol, L. Schwinn, K. Sprague, M. Coates, T. Markovich, "When to retrain a machine learning model",
    ICML 2025. A linear model forecasts the loss of the version that is trained before window i in window j,
    from i, j - i and j; its residuals give the variance. A retrain is due when the 95 % quantile of its cost,
    the fee included, is below that of keeping the version. It learns from all pairs of versions and windows
    of the offline part, and then from the losses of the versions that served.

    Chosen here: losses between 0 and 1 have a Beta distribution with the forecast mean and the variance of
    the residuals, others a normal one. The shift of the inputs, another feature of the paper's, is not in the
    matrix and left out. Ridge regression stands for its elastic net. The cost is the mean over the next
    1, 2, 4 or 8 windows, the best on the first 40 % of the windows; the fee is spread over them.
    """
    offline = matrix.first(tuning_windows(matrix))

    def spent(horizon: int) -> float:
        found = _schedule(offline, offline, horizon, cost)
        return objective(offline.loss(found), len(found), offline.windows, cost)

    return _schedule(matrix, offline, min(HORIZONS, key=spent), cost)


def _schedule(matrix: ScoreMatrix, offline: ScoreMatrix, horizon: int, cost: float) -> Schedule:
    trained, scored = np.nonzero(np.triu(np.ones_like(offline.losses)) * offline.available[:, None])
    pairs = [np.array([trained, scored]).T]
    losses = [offline.losses[trained, scored]]
    bounded = bool((matrix.losses >= 0).all() and (matrix.losses <= 1).all())
    ahead = np.arange(1, horizon + 1)
    forecaster = Forecaster.fit(pairs[0], losses[0])

    def due(known: Known) -> bool:
        nonlocal forecaster
        newest = known.window - 1
        if newest >= max(offline.windows, known.start):
            pairs.append(np.array([[known.start, newest]]))
            losses.append(known.losses[-1:])
            forecaster = Forecaster.fit(np.concatenate(pairs), np.concatenate(losses))
        next_windows = known.window + ahead
        keep = forecaster.mean(np.array([np.full(horizon, known.start), next_windows]).T)
        fresh = forecaster.mean(np.array([np.full(horizon, known.window + 1), next_windows]).T)
        fee = cost / horizon
        return fee + _quantile(fresh, forecaster.variance, bounded=bounded) < _quantile(
            keep, forecaster.variance, bounded=bounded
        )

    return simulate(matrix, due)


class Forecaster:
    """A ridge regression of the loss on when a version was trained, how old it is, and the window."""

    def __init__(self, centre: np.ndarray, scale: np.ndarray, weights: np.ndarray, level: float) -> None:
        self._centre, self._scale, self._weights, self._level = centre, scale, weights, level
        self.variance = 0.0

    @classmethod
    def fit(cls, pairs: np.ndarray, losses: np.ndarray) -> Self:
        """Fit on (version, window) pairs, shape (n, 2), and their losses, shape (n,)."""
        features = _features(pairs)
        centre, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale == 0] = 1.0
        scaled = (features - centre) / scale
        level = float(losses.mean())
        penalty = _PENALTY * len(losses) * np.eye(features.shape[1])
        weights = np.linalg.solve(scaled.T @ scaled + penalty, scaled.T @ (losses - level))
        found = cls(centre, scale, weights, level)
        found.variance = float(np.mean((losses - found._each(pairs)) ** 2))
        return found

    def _each(self, pairs: np.ndarray) -> np.ndarray:
        scaled = (_features(pairs) - self._centre) / self._scale
        return np.asarray(self._level + scaled @ self._weights)

    def mean(self, pairs: np.ndarray) -> float:
        """Return the mean of the forecast losses of these pairs."""
        return float(self._each(pairs).mean())


def _features(pairs: np.ndarray) -> np.ndarray:
    trained, scored = pairs[:, 0].astype(np.float64), pairs[:, 1].astype(np.float64)
    return np.array([trained, scored - trained, scored]).T


def _quantile(mean: float, variance: float, *, bounded: bool) -> float:
    from scipy.special import betaincinv, ndtri

    if bounded:
        mean = min(max(mean, 1e-6), 1 - 1e-6)
        size = mean * (1 - mean) / variance - 1 if variance > 0 else 0.0
        if size > 0:
            return float(betaincinv(mean * size, (1 - mean) * size, QUANTILE))
    return float(mean + ndtri(QUANTILE) * variance**0.5)
