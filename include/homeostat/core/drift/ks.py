"""Two-sample Kolmogorov-Smirnov distance from counts."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstwo

from homeostat.core.drift.statistic import Statistic, no_comparison
from homeostat.core.profile import FeatureCounts

# Beyond this effective size and this squared statistic, scipy's sum takes milliseconds to seconds.
_MAX_EXACT_SIZE = 4000
_MIN_TAIL_STATISTIC = 2.2
_LARGEST_FLOAT = float(np.finfo(np.float64).max)


def ks(reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
    """Return D = sup |F_reference(x) - F_window(x)|, in [0, 1], for numbers.

    The counts determine both distribution functions at every cut point and just below it, but not between
    two cut points. Where only one side has mass between them, the difference changes in one direction and
    the supremum is at an end, so D is exact when every distinct reference value is a cut point. Otherwise
    the true D may be larger by at most ``error``, which is at most the largest open interval's mass.

    The p-value is scipy's ``ks_2samp(method="asymp")``: the distribution of the one-sample D for
    n*m/(n+m) rows (R. Simard, P. L'Ecuyer, "Computing the two-sided Kolmogorov-Smirnov distribution",
    2011). Where that takes a sum over all rows (more than 4000 of them and p < 0.03), the sum's
    expansion replaces it, within 1e-7. Ties make the p-value conservative, and so do incomplete edges.
    """
    empty = no_comparison(reference, window)
    if empty is not None:
        return empty
    n, m = reference.binned, window.binned
    below = np.cumsum(reference.slots) / n, np.cumsum(window.slots) / m
    d = float(np.abs(below[0] - below[1]).max())
    return Statistic(d, p_value=p_value(d, n, m), error=_error(reference, window, d))


def _error(reference: FeatureCounts, window: FeatureCounts, d: float) -> float:
    r, w = reference.slots / reference.binned, window.slots / window.binned
    r_below, w_below = np.cumsum(r) - r, np.cumsum(w) - w
    both = (reference.slots > 0) & (window.slots > 0)
    both[1::2] = False  # a cut point is exact, and nothing finite lies beyond the largest float
    cuts = getattr(reference.edges, "cut_points", ())
    both[[0, -1]] &= (
        not cuts or abs(cuts[0]) < _LARGEST_FLOAT,
        not cuts or abs(cuts[-1]) < _LARGEST_FLOAT,
    )
    gap = np.maximum(r_below + r - w_below, w_below + w - r_below)[both]
    return float(min(max(gap.max(initial=0.0) - d, 0.0), 1.0 - d))


def p_value(d: float, n: int, m: int) -> float:
    """Return the chance of a distance of at least ``d`` when both samples come from one distribution."""
    size = max(float(np.round(n * m / (n + m))), 1.0)
    squared = size * d * d
    exact = size <= _MAX_EXACT_SIZE or squared < _MIN_TAIL_STATISTIC
    p = float(kstwo.sf(d, size)) if exact else _tail(squared, d, size)
    return min(max(p, 0.0), 1.0)


def _tail(squared: float, d: float, size: float) -> float:
    """Return twice the one-sided tail, with its terms up to 1/size."""
    exponent = (6 * size * d + 1) ** 2 / (18 * size)
    return float(2 * np.exp(-exponent - (4 * squared * (squared - 1) / 9 - 1 / 18) / size))
