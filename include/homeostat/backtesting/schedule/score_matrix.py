"""Losses of every version on every later window, and what a schedule of retrains loses on them.

A schedule is the windows from which a new version serves, in order: ``(3, 7)`` serves the first version in
windows 0 to 2, the version that was trained before window 3 until window 6, and the one trained before
window 7 to the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

Schedule = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ScoreMatrix:
    """Losses of W versions on W windows.

    ``losses[k, j]`` is the mean loss per row of window j, had the version served that is trained before
    window k; shape (W, W), defined for j >= k. Version 0 is the first one. ``weights`` are the windows'
    shares of all rows, shape (W,); 0 for a window that has no loss. ``available`` tells which versions
    could be trained, shape (W,); the first one always.
    """

    losses: np.ndarray
    weights: np.ndarray
    available: np.ndarray

    @classmethod
    def of(cls, losses: np.ndarray, rows: np.ndarray) -> Self:
        """Build the matrix from losses with NaN where there is none.

        A window in which some version has no loss (no labelled row, or the metric is not defined) counts
        for none, so that all schedules are compared on the same windows. A version without any loss is not
        available.

        Parameters
        ----------
        losses
            Shape (W, W), lower is better.
        rows
            Labelled rows of each window, shape (W,).
        """
        losses = np.asarray(losses, dtype=np.float64)
        windows = len(losses)
        served = np.triu(np.ones((windows, windows), dtype=bool))
        found = np.isfinite(losses) & served
        available = found.any(axis=1)
        available[0] = True
        missing = (served & ~found)[available].any(axis=0)
        weights = np.where(missing, 0.0, np.asarray(rows, dtype=np.float64))
        total = weights.sum()
        usable = found & ~missing & available[:, None]
        return cls(np.where(usable, losses, 0.0), weights / total if total > 0 else weights, available)

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.weights)

    def serving(self, schedule: Iterable[int]) -> np.ndarray:
        """Return the version that serves each window, shape (W,); one that is not available is skipped."""
        versions = np.zeros(self.windows, dtype=np.int64)
        for start in schedule:
            if self.available[start]:
                versions[start:] = start
        return versions

    def window_losses(self, schedule: Iterable[int]) -> np.ndarray:
        """Return the loss in each window, shape (W,)."""
        return np.asarray(self.losses[self.serving(schedule), np.arange(self.windows)])

    def loss(self, schedule: Iterable[int]) -> float:
        """Return the mean loss over all rows."""
        return float(self.weights @ self.window_losses(schedule))

    def totals(self) -> np.ndarray:
        """Return the loss of version k in windows k to e - 1, shape (W, W + 1); sums add up to :meth:`loss`.

        It is infinite where the version cannot serve.
        """
        windows = self.windows
        sums = np.zeros((windows, windows + 1))
        np.cumsum(self.losses * self.weights, axis=1, out=sums[:, 1:])
        serves = np.arange(windows + 1)[None, :] > np.arange(windows)[:, None]
        return np.where(serves & self.available[:, None], sums, np.inf)

    def first(self, windows: int) -> ScoreMatrix:
        """Return the matrix of the first windows only."""
        weights = self.weights[:windows]
        total = weights.sum()
        return ScoreMatrix(
            self.losses[:windows, :windows],
            weights / total if total > 0 else weights,
            self.available[:windows],
        )
