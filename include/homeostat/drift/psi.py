"""Population stability index, with what chance alone would give taken off."""

from __future__ import annotations

import numpy as np

from homeostat.drift.cells import table
from homeostat.drift.statistic import Statistic, nothing_to_compare
from homeostat.profile import Counts


def psi(reference: Counts, window: Counts, /) -> Statistic:
    """PSI = sum (q - p) ln(q / p) over the cells, less (cells - 1)(1/n + 1/m), never below 0.

    The part taken off is the expectation without drift (B. Yurdakul, "Statistical properties of
    population stability index", 2018): without it a window of 100 rows reads 0.1 for nothing. Half
    a row is added to every cell, so that an empty one gives a large number and not an infinite one.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    cells = table(reference, window)
    n, m = cells.sum(axis=1)
    shares = (cells + 0.5) / (cells + 0.5).sum(axis=1, keepdims=True)
    plain = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    by_chance = (cells.shape[1] - 1) * (1 / n + 1 / m)
    return Statistic(max(0.0, plain - float(by_chance)))
