"""Chi-square test of homogeneity: whether both samples come from one distribution."""

from __future__ import annotations

from scipy.special import chdtrc

from homeostat.core.drift.bins import MIN_EXPECTED, ContingencyTable, pooled_table
from homeostat.core.drift.statistic import Statistic, no_comparison, too_sparse
from homeostat.core.profile import FeatureCounts


def chi_square(reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
    """Return Pearson's sum (observed - expected)^2 / expected over the 2 x k table, k - 1 degrees of freedom.

    Both samples are random. A goodness-of-fit test would treat the reference as exact and be wrong most
    often when the reference is no larger than the window. Small bins are pooled first
    (:func:`~homeostat.core.drift.bins.pooled_table`). Where Cochran's rule leaves expected counts below 5,
    Pearson's sum has a longer tail than chi-square: p < 0.0001 comes three times in 10,000, which matters
    among hundreds of features. N. Cressie and T. Read's statistic ("Multinomial goodness-of-fit tests",
    1984) does not, and there the p-value is the larger of the two. With one value in both samples the
    result is 0, p = 1.
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
        return Statistic(0.0, p_value=1.0)
    expected = bins.sum(axis=1, keepdims=True) * bins.sum(axis=0) / bins.sum()
    value = float(((bins - expected) ** 2 / expected).sum())
    p = float(chdtrc(bins.shape[1] - 1, value))
    if expected.min() < MIN_EXPECTED:
        p = max(p, float(chdtrc(bins.shape[1] - 1, _cressie_read(bins, expected))))
    return Statistic(value, p_value=p)


def _cressie_read(observed: ContingencyTable, expected: ContingencyTable) -> float:
    return float(9 / 5 * (observed * ((observed / expected) ** (2 / 3) - 1)).sum())
