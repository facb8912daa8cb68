"""Wasserstein distance in units of the reference's spread, from counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homeostat.core.drift.statistic import Statistic, no_comparison
from homeostat.core.profile import FeatureCounts, NumberEdges

Floats = npt.NDArray[np.float64]

#: Upper limit of a value's distance from the reference's median, in spreads.
MAX_SPREADS = 10.0
# A spread below this share of the values themselves is rounding, not spread.
_MIN_RELATIVE_SPREAD = 1e-9


def wasserstein(reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
    """Return W1 = integral |F_reference - F_window| dx, in the reference's interquartile ranges, for numbers.

    Exact when both samples lie on cut points within ten spreads of the reference's median. Otherwise the
    mass between two cut points is put halfway, but at most one spread from the cut point on the median's
    side, and mass beyond the outermost cut point one spread beyond it. All positions are clipped to ten
    spreads: a row at 1e300 then weighs at most 20/n instead of dominating the distance. When the
    interquartile range is zero (half of the rows have one value), the range between the 5th and 95th,
    then the 1st and 99th percentile replaces it, and for a constant a thousandth of its size. The unit is
    as coarse as the quartiles: with few distinct values it jumps from one value to the next.
    """
    empty = no_comparison(reference, window)
    if empty is not None:
        return empty
    edges = reference.edges
    if not isinstance(edges, NumberEdges) or not reference.slots[1:-1].any():
        return Statistic(None, reason="the reference has no finite number to measure distances by")
    gap = np.cumsum(reference.slots) / reference.binned - np.cumsum(window.slots) / window.binned
    return Statistic(float(np.abs(gap[:-1]) @ np.diff(_slot_positions(edges, reference))))


def _slot_positions(edges: NumberEdges, reference: FeatureCounts) -> Floats:
    """Return where the mass of each slot is put: spreads away from the median, in rising order."""
    cuts = (
        np.asarray(edges.cut_points, dtype=np.float64) / 4
    )  # so that no difference overflows; the unit cancels
    upper = np.append(np.repeat(cuts, 2), cuts[-1])  # of each slot; the outermost has none
    rising = np.cumsum(reference.slots)
    ranks = np.array([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]) * reference.binned
    q1, q5, q25, median, q75, q95, q99 = upper[np.searchsorted(rising, ranks)]
    with np.errstate(over="ignore"):  # an infinite quotient lies beyond MAX_SPREADS like any large one
        ranges = [(q25, q75), (q5, q95), (q1, q99)]
        wide = [
            high - low for low, high in ranges if high - low > _MIN_RELATIVE_SPREAD * max(abs(low), abs(high))
        ]
        spread = wide[0] if wide else abs(median) / 1000 or 1.0
        scaled = (cuts - median) / spread
    scaled = np.clip(scaled, -MAX_SPREADS, MAX_SPREADS)
    positions = np.empty(edges.size)
    positions[1::2] = scaled
    low, high = scaled[:-1], scaled[1:]
    middle = (low + high) / 2
    # A cut point from one absurd row is far away, and must not move its neighbours' mass.
    positions[2:-1:2] = np.where(low >= 0, np.minimum(middle, low + 1), np.maximum(middle, high - 1))
    positions[0], positions[-1] = scaled[0] - 1, scaled[-1] + 1
    return np.clip(positions, -MAX_SPREADS, MAX_SPREADS)
