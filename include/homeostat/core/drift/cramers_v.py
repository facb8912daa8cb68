"""Cramer's V, bias-corrected: the distance of two distributions, whatever the number of rows."""

from __future__ import annotations

import math

from homeostat.core.drift.bins import pooled_table
from homeostat.core.drift.statistic import Statistic, no_comparison, too_sparse
from homeostat.core.profile import FeatureCounts


def cramers_v(reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
    """Return V in [0, 1] of the 2 x k table of sample against value, less its expectation without drift.

    W. Bergsma, "A bias-correction for Cramer's V and Tschuprow's T" (2013), with equal weight for both
    samples: phi^2 = 1/2 sum (p - q)^2 / (p + q), on 4nm/(n+m) rows. At n = m this is Bergsma's V. The
    plain V shrinks with the square root of the window's share of all rows: a drift of V = 0.4 against an
    equally large reference would be 0.04 against one 400 times as large, and no threshold could be set.
    """
    empty = no_comparison(reference, window)
    if empty is not None:
        return empty
    table = pooled_table(reference, window)
    sparse = too_sparse(table)
    if sparse is not None:
        return sparse
    bins = table.pooled
    if bins.shape[1] == 1:
        return Statistic(0.0)
    n, m = bins.sum(axis=1)
    p, q = bins[0] / n, bins[1] / m
    rows, k = 4 * n * m / (n + m), bins.shape[1]
    phi2 = float(((p - q) ** 2 / (p + q)).sum()) / 2
    above_chance = max(0.0, phi2 - (k - 1) / (rows - 1))
    freedom = min(k - 1 - (k - 1) ** 2 / (rows - 1), 1 - 1 / (rows - 1))
    return Statistic(min(1.0, math.sqrt(above_chance / freedom)))
