"""The record of committees: how each subset of a version's members did on rows that none had learnt from.

The subset that serves changes only on evidence: errors of neighbouring rows and of neighbouring windows are
correlated, and among seven subsets some look better by chance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, pairwise
from typing import Any, Self

import numpy as np

#: Parts of a window whose mean losses give its standard error.
BLOCKS = 7
#: A window weighs half of one that is so many windows newer.
HALF_LIFE = 26
#: Another subset must be better by so many standard errors; one recipe against another by one.
SWITCH_SE = 3.0
ONE_RECIPE_SE = 1.0
#: So many windows are kept; older ones weigh less than a hundredth of the newest.
MAX_WINDOWS = 180
# The largest autocorrelation that is corrected for: the standard error triples.
_MAX_AUTOCORRELATION = 0.8
_NEGLIGIBLE = 1e-9

Subset = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SubsetLosses:
    """The mean losses in the blocks of one window of each subset, shape (subsets, :data:`BLOCKS`).

    ``end`` is the time of the window's last row. Losses are 0 or 1 per row, or absolute errors.
    """

    end: datetime
    blocks: np.ndarray

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "end": self.end.isoformat(),
            "blocks": [[round(x, 9) for x in row] for row in self.blocks.tolist()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` returned."""
        return cls(datetime.fromisoformat(data["end"]), np.asarray(data["blocks"], dtype=np.float64))


@dataclass(frozen=True, slots=True)
class Choice:
    """The subset to serve, and by how much its loss per row is smaller than the current one's.

    ``standard_error`` is that of ``improvement``; both are 0 where the current one is kept.
    """

    index: int
    improvement: float = 0.0
    standard_error: float = 0.0


def subsets(k: int) -> tuple[Subset, ...]:
    """Return the subsets of k members, the one of all members first."""
    return tuple(each for size in range(k, 0, -1) for each in combinations(range(k), size))


def mean_by_block(losses: np.ndarray, blocks: int = BLOCKS) -> np.ndarray:
    """Return the means of ``blocks`` parts of about equal length, shape (..., blocks).

    Parameters
    ----------
    losses
        One per row in time order, shape (..., rows), at least ``blocks`` rows.
    """
    bounds = np.linspace(0, losses.shape[-1], blocks + 1).round().astype(int)
    sums = np.add.reduceat(losses, bounds[:-1], axis=-1)
    means: np.ndarray = sums / np.diff(bounds)
    return means


def window_bounds(rows: int, window_rows: int) -> list[tuple[int, int]]:
    """Cut rows into windows of about ``window_rows``, evenly; none for less than half a window."""
    count = min(round(rows / window_rows), rows // BLOCKS)
    edges = [round(rows * n / count) for n in range(count + 1)] if count else []
    return list(pairwise(edges))


def choose_members(
    record: Sequence[SubsetLosses],
    current: int,
    *,
    allowed: Sequence[int] | None = None,
    switch_se: float = SWITCH_SE,
) -> Choice:
    """Return the subset whose loss is smaller than the current one's by the most beyond doubt.

    Doubt is ``switch_se`` standard errors of the weighted mean difference: the larger of two estimates, from
    the blocks within the windows and from the differences of the windows, corrected for the autocorrelation
    of the latter. A window weighs half of one that is :data:`HALF_LIFE` windows newer.

    Parameters
    ----------
    record
        One per window, oldest first, all of the same subsets.
    current
        The subset that serves; it is kept where none is better for sure, or with fewer than two windows.
    allowed
        Subsets to choose from (default: all); the current one is always allowed.
    switch_se
        How many standard errors another one must be better.
    """
    known = [each.blocks for each in record[-MAX_WINDOWS:] if np.isfinite(each.blocks).all()]
    if len(known) < 2:
        return Choice(current)
    blocks = np.stack(known)  # window x subset x block
    n = len(blocks)
    weights = 0.5 ** (np.arange(n - 1, -1, -1) / HALF_LIFE)
    total = weights.sum()
    gaps = blocks[:, [current]] - blocks
    gap = gaps.mean(axis=2)
    mean = weights @ gap / total
    within = weights**2 @ (gaps.var(axis=2, ddof=1) / gaps.shape[2]) / total**2
    effective = total**2 / (weights**2).sum()
    between = weights @ (gap - mean) ** 2 / total / max(effective - 1.0, 1.0)
    error = np.sqrt(np.maximum(within, between) * _inflation(gap - mean))
    sure = mean - switch_se * error
    if allowed is not None:
        sure[np.setdiff1d(np.arange(len(sure)), allowed)] = -np.inf
    best = int(sure.argmax())
    if sure[best] <= _NEGLIGIBLE * max(float(blocks.mean()), _NEGLIGIBLE):
        return Choice(current)
    return Choice(best, float(mean[best]), float(error[best]))


def _inflation(residuals: np.ndarray) -> np.ndarray:
    """Return by how much the variance of a mean of correlated values is larger, per column."""
    n = len(residuals)
    squares = (residuals**2).sum(axis=0)
    products = (residuals[1:] * residuals[:-1]).sum(axis=0)
    first = np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)
    r = np.clip(first + 1.0 / n, 0.0, _MAX_AUTOCORRELATION)
    inflation: np.ndarray = (1.0 + r) / (1.0 - r)
    return inflation
