"""Jensen-Shannon divergence, in bits."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from homeostat.core.drift.bins import contingency_table
from homeostat.core.drift.statistic import Statistic, no_comparison
from homeostat.core.profile import FeatureCounts


def jensen_shannon(reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
    """Return JS = (KL(p || a) + KL(q || a)) / 2 with a = (p + q) / 2, base 2: in [0, 1], 1 without overlap.

    J. Lin, "Divergence measures based on the Shannon entropy" (1991). This is the divergence, not the
    distance, which is its square root: near 0 the root overstates a single row.
    """
    empty = no_comparison(reference, window)
    if empty is not None:
        return empty
    bins = contingency_table(reference, window)
    p, q = bins / bins.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    bits = float((rel_entr(p, middle) + rel_entr(q, middle)).sum()) / (2 * np.log(2))
    return Statistic(min(max(float(bits), 0.0), 1.0))
