"""Merge the slots of a profile into bins that hold enough rows for a statistic."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from homeostat.core.profile import CategoryEdges, FeatureCounts

Floats = npt.NDArray[np.float64]
ContingencyTable = Floats  # shape (2, bins): reference and window

#: Bins of a number, as PSI has them by tradition.
BINS = 10
#: A bin that expects fewer rows is a small one (Cochran).
MIN_EXPECTED = 5


@dataclass(frozen=True, slots=True)
class PooledTable:
    """The bins of a category: ``full`` as counted, and ``pooled`` for a test of homogeneity."""

    full: ContingencyTable
    pooled: ContingencyTable


def contingency_table(reference: FeatureCounts, window: FeatureCounts) -> ContingencyTable:
    """Return two rows of counts, without bins that are empty in both.

    Each category has its own bin (and there is one for the rest), in the order of their names: in the
    order of frequency, chance in the reference would decide which neighbours are pooled. Numbers are cut
    into tenths (:func:`decile_weights`).
    """
    counts = np.stack([reference.slots, window.slots]).astype(np.float64)
    if isinstance(reference.edges, CategoryEdges):
        labels = reference.edges.labels
        if reference.edges.open:
            counts = _merge_selected_by_chance(counts)
        counts = counts[:, [*sorted(range(len(labels)), key=labels.__getitem__), len(labels)]]
        return np.asarray(counts[:, counts.any(axis=0)])
    counts = counts[:, counts.any(axis=0)]
    return np.asarray(counts @ decile_weights(counts))


def _merge_selected_by_chance(counts: ContingencyTable) -> ContingencyTable:
    """Move labels into the rest that may have a slot only by chance in the reference.

    Among labels about as frequent as the rarest with a slot, those have a slot that the reference
    happened to hold more often, and every window holds fewer of them. Labels three sigma above it in
    both samples together are frequent beyond chance.
    """
    n, m = counts.sum(axis=1)
    own = counts[:, :-1]
    rarest = own[0].min() if own.size else 0.0
    by_chance = own.sum(axis=0) * (n / (n + m)) < rarest + 3 * np.sqrt(rarest)
    counts = counts.copy()
    counts[:, -1] += own[:, by_chance].sum(axis=1)
    counts[:, :-1][:, by_chance] = 0
    return counts


def decile_weights(counts: ContingencyTable) -> Floats:
    """Return which share of each slot goes to which bin, shape (slots, bins); each row adds up to 1.

    The bins are tenths of the even mixture of both samples: swapping the samples changes nothing, and a
    window outside the reference's range has bins of its own. The part of a slot beyond a tenth is its own
    bin; the rest of all slots, in their order, is cut into ten equal parts. A slot across a cut is divided
    between the two bins in proportion. Assigned to one of them as a whole, one row could move the
    statistic by the slot's mass.
    """
    mixture = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
    beyond = np.maximum(mixture - 1 / BINS, 0)
    remainder = mixture - beyond
    upper = np.cumsum(remainder) * (BINS / remainder.sum())
    lower = np.r_[0.0, upper[:-1]]
    cuts = np.arange(BINS)
    overlap = np.minimum(upper[:, None], cuts + 1) - np.maximum(lower[:, None], cuts)
    tenths = np.maximum(overlap, 0) * (remainder.sum() / BINS)
    weights = np.hstack([tenths, np.diag(beyond)[:, beyond > 0]])
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def pooled_table(reference: FeatureCounts, window: FeatureCounts) -> PooledTable:
    """Return the bins of a category as counted, and pooled for a test of homogeneity."""
    full = contingency_table(reference, window)
    closed = isinstance(reference.edges, CategoryEdges) and not reference.edges.open
    return PooledTable(full, pool_small_bins(_merge_rare_labels(full) if closed else full))


def _merge_rare_labels(bins: ContingencyTable) -> ContingencyTable:
    """Merge the labels that expect fewer than 5 rows of the reference, corrected for unseen labels.

    A label has a slot because the reference holds it. Rare labels that the reference happens not to hold
    count as unseen in the window. The window therefore holds fewer rows of rare labels than the reference,
    by as many reference rows as have a label seen once (Good and Turing's estimate). A window between the
    two counts is not different from either.
    """
    n, m = bins.sum(axis=1)
    rare = bins.sum(axis=0) * (n / (n + m)) < MIN_EXPECTED
    once = float((bins[0, rare] == 1).sum())
    before, now = bins[:, rare].sum(axis=1)
    if once <= np.sqrt(before) / 4 or before == n or now == m:  # less than noise, or all are rare
        return bins
    expected = np.clip(now * (n - before) / (m - now), before - once, before)
    merged = np.column_stack([bins[:, ~rare], [expected, now]])
    return np.asarray(merged[:, merged.any(axis=0)])


def pool_small_bins(bins: ContingencyTable) -> ContingencyTable:
    """Pool the smallest bins until at most a fifth of the expected counts is below 5, and none below 1.

    W. G. Cochran, "Some methods for strengthening the common chi-square tests" (1954). The smallest bins
    are merged until a pool expects 5 rows of either sample, then the next smallest, for as long as the
    rule is broken: one pool for all would hide every difference where all categories are rare. The
    margins alone decide which bins are pooled, so the test keeps its level. One bin may remain.
    """
    totals = bins.sum(axis=0)
    order = np.argsort(totals, kind="stable")
    bins, totals = bins[:, order], totals[order]
    share = bins.sum(axis=1) / bins.sum()
    starts: list[int] = []  # of the pools; the bins from ``at`` on are not pooled
    at, size = 0, totals.size
    while at < size and not _meets_cochran(share, _merge(totals, starts, at)):
        starts.append(at)
        rows = 0.0
        while at < size and rows * share.min() < MIN_EXPECTED:
            rows += totals[at]
            at += 1
        if rows * share.min() < MIN_EXPECTED and len(starts) > 1:  # the last bins are too few for a pool
            starts.pop()
    return _merge(bins, starts, at)


def _merge(bins: Floats, starts: list[int], at: int) -> Floats:
    return np.asarray(np.add.reduceat(bins, [*starts, *range(at, bins.shape[-1])], axis=-1))


def _meets_cochran(share: Floats, totals: Floats) -> bool:
    expected = np.outer(share, totals)
    return bool((expected < MIN_EXPECTED).mean() <= 0.2 and expected.min() >= 1)
