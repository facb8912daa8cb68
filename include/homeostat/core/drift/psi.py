"""Population stability index, with what chance alone would give taken off."""

from __future__ import annotations

import numpy as np

from homeostat.core.drift.bins import Floats, Table, homogeneous, tenths
from homeostat.core.drift.statistic import Statistic, nothing_to_compare, too_sparse
from homeostat.core.profile import Counts

# Added to every cell, so that an empty one gives a large number and not an infinite one.
_ROWS = 0.5


def psi(reference: Counts, window: Counts, /) -> Statistic:
    """PSI = sum (q - p) ln(q / p) over the cells, less (cells - 1)(1/n + 1/m), never below 0.

    The part taken off is the expectation without drift (B. Yurdakul, "Statistical properties of
    population stability index", 2018): without it a window of 100 rows reads 0.1 for nothing. It
    holds where cells expect a handful of rows, so that rare categories are pooled first, as for
    chi-square. Where cells share a slot (numbers with atoms) they vary less than cells of their
    own, and ``cells`` is the trace that stands for it in the same derivation. Half a row is added
    to every cell.
    """
    empty = nothing_to_compare(reference, window)
    if empty is not None:
        return empty
    if reference.kind == "category":
        cells, kept = homogeneous(reference, window)
        sparse = too_sparse(cells, kept)
        if sparse is not None:
            return sparse
        return _less_chance(kept, np.full(kept.shape[1], _ROWS), kept.shape[1])
    counts = np.stack([reference.slots, window.slots]).astype(np.float64)
    counts = counts[:, counts.any(axis=0)]
    parts = tenths(counts)
    mixture = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    # A slot's half row is divided as the slot is; small slots have a tenth's half row together.
    added = _ROWS * np.minimum(1, 10 * mixture) @ parts
    trace = float((mixture @ parts**2 / (mixture @ parts)).sum())
    return _less_chance(counts @ parts, added, trace)


def _less_chance(cells: Table, added: Floats, free: float) -> Statistic:
    n, m = cells.sum(axis=1)
    shares = (cells + added) / (cells + added).sum(axis=1, keepdims=True)
    plain = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    return Statistic(max(0.0, plain - float((free - 1) * (1 / n + 1 / m))))
