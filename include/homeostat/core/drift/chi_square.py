"""Chi-square test of homogeneity: whether both samples are draws from one distribution."""

from __future__ import annotations

from scipy.special import chdtrc

from homeostat.core.drift.bins import SMALL, Table, homogeneous
from homeostat.core.drift.statistic import Statistic, nothing_to_compare, too_sparse
from homeostat.core.profile import Counts


def chi_square(reference: Counts, window: Counts, /) -> Statistic:
    """Pearson's sum (observed - expected)^2 / expected over the 2 x k table, k - 1 degrees of freedom.

    Both samples are random. A goodness-of-fit test would take the reference for the truth and be
    wrong most often where the reference is no larger than the window. Small cells are pooled
    first (:func:`~homeostat.core.drift.bins.homogeneous`). Where Cochran's rule leaves expected counts
    below 5, Pearson's sum has a longer tail than chi-square: three times in 10,000 p < 0.0001, which
    tells among hundreds of features. N. Cressie and T. Read's statistic ("Multinomial goodness-of-fit
    tests", 1984) has not, and there the p-value is the larger of the two. With one value in both
    samples nothing differs: 0, p = 1.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    cells, kept = homogeneous(reference, window)
    sparse = too_sparse(cells, kept)
    if sparse is not None:
        return sparse
    if kept.shape[1] == 1:
        return Statistic(0.0, p_value=1.0)
    expected = kept.sum(axis=1, keepdims=True) * kept.sum(axis=0) / kept.sum()
    value = float(((kept - expected) ** 2 / expected).sum())
    p = float(chdtrc(kept.shape[1] - 1, value))
    if expected.min() < SMALL:
        p = max(p, float(chdtrc(kept.shape[1] - 1, _cressie_read(kept, expected))))
    return Statistic(value, p_value=p)


def _cressie_read(observed: Table, expected: Table) -> float:
    return float(9 / 5 * (observed * ((observed / expected) ** (2 / 3) - 1)).sum())
