"""Slots grouped into cells that a statistic can bear."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from homeostat.core.profile import CategoryFrame, Counts

Floats = npt.NDArray[np.float64]
Table = Floats  # shape (2, cells): reference and window

#: Cells for numbers, as PSI has them by tradition.
CELLS = 10
#: The expected count below which a cell is a small one (Cochran).
SMALL = 5


def table(reference: Counts, window: Counts) -> Table:
    """Two rows of counts, without cells that are empty on both sides.

    Categories keep a cell each (and one for the rest), in the order of their names: their order of
    frequency would let the reference's luck into whatever pools neighbours. Numbers are cut into
    tenths (:func:`tenths`).
    """
    counts = np.stack([reference.slots, window.slots]).astype(np.float64)
    if isinstance(reference.frame, CategoryFrame):
        labels = reference.frame.labels
        if reference.frame.open:
            counts = _without_luck(counts)
        counts = counts[:, [*sorted(range(len(labels)), key=labels.__getitem__), len(labels)]]
        return np.asarray(counts[:, counts.any(axis=0)])
    counts = counts[:, counts.any(axis=0)]
    return np.asarray(counts @ tenths(counts))


def _without_luck(counts: Table) -> Table:
    """Move labels into the rest that may have a slot by the reference's luck alone.

    Of labels that are about as frequent as the rarest with a slot, those have one that the reference
    happened to hold more often, and any window holds less of them. Labels three sigma above it in
    both samples together have their slot by right.
    """
    n, m = counts.sum(axis=1)
    own = counts[:, :-1]
    rarest = own[0].min() if own.size else 0.0
    lucky = own.sum(axis=0) * (n / (n + m)) < rarest + 3 * np.sqrt(rarest)
    counts = counts.copy()
    counts[:, -1] += own[:, lucky].sum(axis=1)
    counts[:, :-1][:, lucky] = 0
    return counts


def tenths(counts: Table) -> Floats:
    """Which part of each slot goes to which cell, shape (slots, cells); the rows add up to 1.

    The cells are tenths of the even mixture of both samples, so that swapping the samples changes
    nothing, and a window that has left the reference's range does not share its cells. What a slot
    holds beyond a tenth is a cell of its own; the rest of all slots, in their order, is cut into ten
    equal parts. A slot that a cut goes through is divided between its neighbours in the proportion
    of the cut, and not as a whole to one of them: otherwise one row could tip a slot over, and move
    the statistic by the slot's mass.
    """
    mixture = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    beyond = np.maximum(mixture - 1 / CELLS, 0)
    stream = mixture - beyond
    upper = np.cumsum(stream) * (CELLS / stream.sum())
    lower = np.r_[0.0, upper[:-1]]
    cuts = np.arange(CELLS)
    overlap = np.minimum(upper[:, None], cuts + 1) - np.maximum(lower[:, None], cuts)
    parts = np.hstack([np.maximum(overlap, 0) * (stream.sum() / CELLS), np.diag(beyond)[:, beyond > 0]])
    return np.asarray(parts / parts.sum(axis=1, keepdims=True))


def homogeneous(reference: Counts, window: Counts) -> tuple[Table, Table]:
    """The cells of categories as they are, and as a test of homogeneity can bear them."""
    cells = table(reference, window)
    closed = isinstance(reference.frame, CategoryFrame) and not reference.frame.open
    return cells, pooled(_fair_to_rare(cells) if closed else cells)


def _fair_to_rare(cells: Table) -> Table:
    """Take the labels that expect fewer than 5 rows of the reference together, less what is owed to luck.

    A label has its slot because the reference holds it. Rare ones that it happens not to hold are
    unseen in the window, and counted elsewhere: so the window holds less of the rare ones than the
    reference, by as many of the reference's rows as have a label seen once (Good and Turing's
    estimate). A window that lies between the two counts does not differ from either.
    """
    n, m = cells.sum(axis=1)
    rare = cells.sum(axis=0) * (n / (n + m)) < SMALL
    once = float((cells[0, rare] == 1).sum())
    before, now = cells[:, rare].sum(axis=1)
    if once <= np.sqrt(before) / 4 or before == n or now == m:  # less than noise, or all are rare
        return cells
    alike = np.clip(now * (n - before) / (m - now), before - once, before)
    fair = np.column_stack([cells[:, ~rare], [alike, now]])
    return np.asarray(fair[:, fair.any(axis=0)])


def pooled(cells: Table) -> Table:
    """Pool the smallest cells until at most a fifth of the expected counts is below 5, and none below 1.

    W. G. Cochran, "Some methods for strengthening the common chi-square tests" (1954). The smallest
    cells are poured together until a pool expects 5 rows of either sample, then the next smallest,
    for as long as the rule is broken: one pool for all would see nothing where every category is
    rare. Which cells are pooled depends on the margins alone, so the test keeps its level. One cell
    may remain.
    """
    totals = cells.sum(axis=0)
    order = np.argsort(totals, kind="stable")
    cells, totals = cells[:, order], totals[order]
    share = cells.sum(axis=1) / cells.sum()
    starts: list[int] = []  # of the pools; the cells from ``at`` on are as they were
    at, size = 0, totals.size
    while at < size and not _bears(share, _merge(totals, starts, at)):
        starts.append(at)
        rows = 0.0
        while at < size and rows * share.min() < SMALL:
            rows += totals[at]
            at += 1
        if rows * share.min() < SMALL and len(starts) > 1:  # the last cells do not make a pool
            starts.pop()
    return _merge(cells, starts, at)


def _merge(cells: Floats, starts: list[int], at: int) -> Floats:
    return np.asarray(np.add.reduceat(cells, [*starts, *range(at, cells.shape[-1])], axis=-1))


def _bears(share: Floats, totals: Floats) -> bool:
    expected = np.outer(share, totals)
    return bool((expected < SMALL).mean() <= 0.2 and expected.min() >= 1)
