"""Slots grouped into cells that a statistic can bear."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homeostat.profile import Counts

Table = npt.NDArray[np.float64]  # shape (2, cells): reference and window

#: Cells for numbers, as PSI has them by tradition.
CELLS = 10


def table(reference: Counts, window: Counts) -> Table:
    """Two rows of counts, without cells that are empty on both sides.

    Categories keep a cell each (and one for the rest). Numbers are cut into tenths of the even
    mixture of both samples, never through an atom: swapping the samples changes nothing, and a
    window that has left the reference's range gets a cell of its own however small it is.
    """
    counts = np.stack([reference.slots, window.slots]).astype(np.float64)
    if reference.kind == "number":
        mixture = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
        middle = np.cumsum(mixture) - mixture / 2
        group = np.minimum((middle * CELLS).astype(np.int64), CELLS - 1)
        counts = np.stack([np.bincount(group, weights=row, minlength=CELLS) for row in counts])
    return np.asarray(counts[:, counts.any(axis=0)])


def pooled(cells: Table) -> Table:
    """Pool the smallest cells until at most a fifth of the expected counts is below 5, and none below 1.

    W. G. Cochran, "Some methods for strengthening the common chi-square tests" (1954). Which cells
    are pooled depends on the margins alone, so the test keeps its level. One cell may remain.
    """
    totals = cells.sum(axis=0)
    order = np.argsort(totals, kind="stable")
    cells, totals = cells[:, order], totals[order]
    share = cells.sum(axis=1) / cells.sum()
    for first in range(cells.shape[1]):
        # the smallest `first + 1` cells as one, the others as they are
        merged = np.r_[totals[: first + 1].sum(), totals[first + 1 :]]
        expected = np.outer(share, merged)
        if (expected < 5).mean() <= 0.2 and expected.min() >= 1:
            break
    return np.column_stack([cells[:, : first + 1].sum(axis=1), cells[:, first + 1 :]])
