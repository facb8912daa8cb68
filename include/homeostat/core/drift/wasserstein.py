"""Wasserstein distance in the reference's own spread, from counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homeostat.core.drift.statistic import Statistic, nothing_to_compare
from homeostat.core.profile import Counts, NumberFrame

Floats = npt.NDArray[np.float64]

#: Nothing counts as further away from the reference's median than this many spreads.
REACH = 10.0
# A spread below this share of the values themselves is rounding, not spread.
_FLOOR = 1e-9


def wasserstein(reference: Counts, window: Counts, /) -> Statistic:
    """W1 = integral |F_reference - F_window| dx, in the reference's interquartile ranges, for numbers.

    Exact where both samples lie on edges and within ten spreads of the reference's median. Otherwise
    mass between two edges is put halfway, though no further than one spread from the edge on the
    median's side; mass beyond the outermost edge one spread beyond it; and all of it within ten
    spreads: without that last, one row at 1e300 would be the whole distance, and so it weighs 20/n at
    the most. Where the interquartile range is nothing (half the rows are one value), the range between
    the 5th and 95th, then the 1st and 99th percentile stands in for it, and for a constant a
    thousandth of its size. The unit has a quartile's own roughness: of a few distinct values it is
    one or the next.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    frame = reference.frame
    if not isinstance(frame, NumberFrame) or not reference.slots[1:-1].any():
        return Statistic(None, reason="the reference has no finite number to measure distances by")
    gap = np.cumsum(reference.slots) / reference.placed - np.cumsum(window.slots) / window.placed
    return Statistic(float(np.abs(gap[:-1]) @ np.diff(_places(frame, reference))))


def _places(frame: NumberFrame, reference: Counts) -> Floats:
    """Where the mass of each slot is put: spreads away from the median, in rising order."""
    edges = np.asarray(frame.edges) / 4  # so that no difference overflows; the unit cancels
    upper = np.append(np.repeat(edges, 2), edges[-1])  # of each slot; the outermost has none
    rising = np.cumsum(reference.slots)
    ranks = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]) * reference.placed
    q1, q5, q25, median, q75, q95, q99 = upper[np.searchsorted(rising, ranks)]
    with np.errstate(over="ignore"):  # an infinite quotient lies beyond REACH like any large one
        ranges = [(q25, q75), (q5, q95), (q1, q99)]
        wide = [high - low for low, high in ranges if high - low > _FLOOR * max(abs(low), abs(high))]
        spread = wide[0] if wide else abs(median) / 1000 or 1.0
        standing = (edges - median) / spread
    standing = np.clip(standing, -REACH, REACH)
    places = np.empty(frame.size)
    places[1::2] = standing
    low, high = standing[:-1], standing[1:]
    middle = (low + high) / 2
    # An edge that one absurd row made is far away, and must not draw its neighbours' mass along.
    places[2:-1:2] = np.where(low >= 0, np.minimum(middle, low + 1), np.maximum(middle, high - 1))
    places[0], places[-1] = standing[0] - 1, standing[-1] + 1
    return np.clip(places, -REACH, REACH)
