"""Chi-square test of homogeneity: whether both samples are draws from one distribution."""

from __future__ import annotations

from scipy.special import chdtrc

from homeostat.drift.cells import Table, homogeneous
from homeostat.drift.statistic import Statistic, nothing_to_compare, too_sparse
from homeostat.profile import Counts


def chi_square(reference: Counts, window: Counts, /) -> Statistic:
    """Pearson's sum (observed - expected)^2 / expected over the 2 x k table, k - 1 degrees of freedom.

    Both samples are random. A goodness-of-fit test would take the reference for the truth and be
    wrong most often where the reference is no larger than the window. Small cells are pooled
    first (:func:`~homeostat.drift.cells.homogeneous`). With one value in both samples nothing differs:
    0, p = 1.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    cells, kept = homogeneous(reference, window)
    sparse = too_sparse(cells, kept)
    if sparse is not None:
        return sparse
    value = _pearson(kept)
    return Statistic(value, p_value=float(chdtrc(kept.shape[1] - 1, value)) if kept.shape[1] > 1 else 1.0)


def _pearson(cells: Table) -> float:
    expected = cells.sum(axis=1, keepdims=True) * cells.sum(axis=0) / cells.sum()
    return float(((cells - expected) ** 2 / expected).sum())
