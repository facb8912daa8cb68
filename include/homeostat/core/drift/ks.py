"""Two-sample Kolmogorov-Smirnov distance from counts."""

from __future__ import annotations

import numpy as np
from scipy.stats import kstwo

from homeostat.core.drift.statistic import Statistic, nothing_to_compare
from homeostat.core.profile import Counts

# Beyond this effective size, and for distances beyond this one, scipy's sum takes milliseconds to seconds.
_LARGE = 4000
_FAR = 2.2
_LAST = float(np.finfo(np.float64).max)


def ks(reference: Counts, window: Counts, /) -> Statistic:
    """D = sup |F_reference(x) - F_window(x)|, in [0, 1], for numbers.

    The counts know both distribution functions at every edge and just below it. Between two edges
    they do not: where only one side has mass there, it moves one way and the supremum is at an end,
    so D is exact when every distinct reference value is an edge. Otherwise D may be larger by at
    most ``error``, itself no more than the largest open interval's mass.

    The p-value is scipy's ``ks_2samp(method="asymp")``: the distribution of the one-sample D for
    n*m/(n+m) rows (R. Simard, P. L'Ecuyer, "Computing the two-sided Kolmogorov-Smirnov distribution",
    2011). Where that takes a sum over all rows (more than 4000 of them and p < 0.03), the sum's
    expansion stands for it, within 1e-7. Ties make the p-value err on the quiet side, and so do
    edges that are not complete.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    n, m = reference.placed, window.placed
    below = np.cumsum(reference.slots) / n, np.cumsum(window.slots) / m
    d = float(np.abs(below[0] - below[1]).max())
    return Statistic(d, p_value=p_value(d, n, m), error=_error(reference, window, d))


def _error(reference: Counts, window: Counts, d: float) -> float:
    r, w = reference.slots / reference.placed, window.slots / window.placed
    r_below, w_below = np.cumsum(r) - r, np.cumsum(w) - w
    both = (reference.slots > 0) & (window.slots > 0)
    both[1::2] = False  # on an edge there is nothing between, nor beyond the last finite number
    edges = getattr(reference.frame, "edges", ())
    both[[0, -1]] &= not edges or abs(edges[0]) < _LAST, not edges or abs(edges[-1]) < _LAST
    gap = np.maximum(r_below + r - w_below, w_below + w - r_below)[both]
    return float(min(max(gap.max(initial=0.0) - d, 0.0), 1.0 - d))


def p_value(d: float, n: int, m: int) -> float:
    """Chance of a distance of at least ``d`` when both samples come from one distribution."""
    size = max(float(np.round(n * m / (n + m))), 1.0)
    squared = size * d * d
    p = float(kstwo.sf(d, size)) if size <= _LARGE or squared < _FAR else _tail(squared, d, size)
    return min(max(p, 0.0), 1.0)


def _tail(squared: float, d: float, size: float) -> float:
    """Twice the one-sided tail, with its terms up to 1/size."""
    exponent = (6 * size * d + 1) ** 2 / (18 * size)
    return float(2 * np.exp(-exponent - (4 * squared * (squared - 1) / 9 - 1 / 18) / size))
