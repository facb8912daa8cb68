"""Cramer's V, bias-corrected: how far two distributions lie apart, whatever the number of rows."""

from __future__ import annotations

import math

from homeostat.core.drift.bins import homogeneous
from homeostat.core.drift.statistic import Statistic, nothing_to_compare, too_sparse
from homeostat.core.profile import Counts


def cramers_v(reference: Counts, window: Counts, /) -> Statistic:
    """V in [0, 1] of the 2 x k table of sample against value, expectation under no drift taken off.

    W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T" (2013), with the samples
    weighing the same: phi^2 = 1/2 sum (p - q)^2 / (p + q), on 4nm/(n+m) rows. At n = m this is
    Bergsma's V. The plain one shrinks with the square root of the window's share of all rows: a
    drift of V = 0.4 against an equally large reference would read 0.04 against one 400 times as
    large, and no threshold could be set.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    cells, kept = homogeneous(reference, window)
    sparse = too_sparse(cells, kept)
    if sparse is not None:
        return sparse
    if kept.shape[1] == 1:
        return Statistic(0.0)
    n, m = kept.sum(axis=1)
    p, q = kept[0] / n, kept[1] / m
    rows, k = 4 * n * m / (n + m), kept.shape[1]
    phi2 = float(((p - q) ** 2 / (p + q)).sum()) / 2
    above_chance = max(0.0, phi2 - (k - 1) / (rows - 1))
    freedom = min(k - 1 - (k - 1) ** 2 / (rows - 1), 1 - 1 / (rows - 1))
    return Statistic(min(1.0, math.sqrt(above_chance / freedom)))
