"""The variance of a mean over rows in time order, whose errors are correlated."""

from __future__ import annotations

import math

import numpy as np

#: A window's rows are cut into so many blocks.
BLOCKS = 7
#: With fewer blocks, the variance of their means cannot be estimated.
_MIN_BLOCKS = 6


def block_sums(values: np.ndarray, blocks: int = BLOCKS) -> np.ndarray:
    """Return rows and sum of equal stretches of values in time order, shape (blocks, 2) or fewer.

    Values that are not finite are left out.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    parts = [part for part in np.array_split(finite, blocks) if len(part)]
    return np.array([(len(part), part.sum()) for part in parts]).reshape(-1, 2)


def mean_of_blocks(sums: np.ndarray, blocks: int = BLOCKS) -> tuple[float, float]:
    """Return the mean over all rows and its variance, from how the means of stretches differ.

    Parameters
    ----------
    sums
        Rows and sum of stretches in time order, of any number, shape (n, 2): they are joined to ``blocks``
        of about as many rows. The variance of fewer than two is infinite.
    """
    known = sums[sums[:, 0] > 0]
    rows = known[:, 0].sum()
    if not rows:
        return 0.0, math.inf
    middle = known[:, 0].cumsum() - known[:, 0] / 2
    at = np.minimum((middle / rows * blocks).astype(int), blocks - 1)
    counts, totals = (np.bincount(at, known[:, column], blocks) for column in (0, 1))
    means = totals[counts > 0] / counts[counts > 0]
    variance = float(means.var(ddof=1)) / len(means) if len(means) > 1 else math.inf
    return float(known[:, 1].sum() / rows), variance


def row_variance(values: np.ndarray) -> float:
    """Return the variance that one row adds to a mean: divided by n, the variance of the mean of n rows.

    The method of batch means: with blocks of b neighbours, b times the variance of their means. For
    independent rows this is the variance of a row whatever b is; it grows with b where errors are
    correlated. The largest of blocks of 1, n^1/3, n^1/2 and n^2/3 rows (at least six of them) counts.
    P. W. Glynn, W. Whitt, "Estimating the asymptotic variance with batch means" (1991).

    Parameters
    ----------
    values
        One per row, in time order, shape (n,); values that are not finite are left out.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    if n < 2:
        return 0.0
    found = [float(finite.var())]
    for length in {round(n**power) for power in (1 / 3, 1 / 2, 2 / 3)}:
        blocks = n // max(length, 1)
        if length > 1 and blocks >= _MIN_BLOCKS:
            means = finite[: blocks * length].reshape(blocks, length).mean(axis=1)
            found.append(float(means.var(ddof=1)) * length)
    return max(found)
