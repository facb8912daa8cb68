"""Population stability index, less what chance alone gives."""

from __future__ import annotations

import numpy as np

from homeostat.core.drift.bins import ContingencyTable, Floats, decile_weights, pooled_table
from homeostat.core.drift.statistic import Statistic, no_comparison, too_sparse
from homeostat.core.profile import FeatureCounts

# Rows added to every bin: an empty bin then gives a large value instead of an infinite one.
_ADDED_ROWS = 0.5


def psi(reference: FeatureCounts, window: FeatureCounts, /) -> Statistic:
    """Return PSI = sum (q - p) ln(q / p) over the bins, less (bins - 1)(1/n + 1/m), never below 0.

    The subtracted part is the expectation without drift (B. Yurdakul, "Statistical properties of
    population stability index", 2018): without it, a window of 100 rows has a PSI of 0.1 by chance. It
    holds where bins expect a handful of rows, so rare categories are pooled first, as for chi-square.
    Bins that share a slot (numbers with atoms) vary less than independent bins; for them, ``bins`` is the
    trace that replaces their number in the same derivation. Half a row is added to every bin.
    """
    empty = no_comparison(reference, window)
    if empty is not None:
        return empty
    if reference.kind == "category":
        table = pooled_table(reference, window)
        sparse = too_sparse(table)
        if sparse is not None:
            return sparse
        bins = table.pooled
        return _subtract_chance(bins, np.full(bins.shape[1], _ADDED_ROWS), bins.shape[1])
    counts = np.stack([reference.slots, window.slots]).astype(np.float64)
    counts = counts[:, counts.any(axis=0)]
    weights = decile_weights(counts)
    mixture = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    # A slot's half row is divided as the slot is; small slots share the half row of a tenth.
    added = _ADDED_ROWS * np.minimum(1, 10 * mixture) @ weights
    trace = float((mixture @ weights**2 / (mixture @ weights)).sum())
    return _subtract_chance(counts @ weights, added, trace)


def _subtract_chance(bins: ContingencyTable, added: Floats, free: float) -> Statistic:
    n, m = bins.sum(axis=1)
    shares = (bins + added) / (bins + added).sum(axis=1, keepdims=True)
    plain = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return Statistic(max(0.0, plain - float((free - 1) * (1 / n + 1 / m))))
