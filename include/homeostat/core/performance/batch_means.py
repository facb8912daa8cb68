"""The variance of a mean over rows in time order, whose errors are correlated."""

from __future__ import annotations

import numpy as np

#: With fewer blocks, the variance of their means cannot be estimated.
_MIN_BLOCKS = 6


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
