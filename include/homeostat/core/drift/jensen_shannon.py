"""Jensen-Shannon divergence, in bits."""

from __future__ import annotations

import numpy as np
from scipy.special import rel_entr

from homeostat.core.drift.bins import table
from homeostat.core.drift.statistic import Statistic, nothing_to_compare
from homeostat.core.profile import Counts


def jensen_shannon(reference: Counts, window: Counts, /) -> Statistic:
    """JS = (KL(p || a) + KL(q || a)) / 2 with a = (p + q) / 2, base 2: in [0, 1], 1 without overlap.

    J. Lin, "Divergence measures based on the Shannon entropy" (1991). It is the divergence, and not
    the distance that is its square root: near 0 the root would make much of a single row.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    cells = table(reference, window)
    p, q = cells / cells.sum(axis=1, keepdims=True)
    middle = (p + q) / 2
    bits = float((rel_entr(p, middle) + rel_entr(q, middle)).sum()) / (2 * np.log(2))
    return Statistic(min(max(float(bits), 0.0), 1.0))
