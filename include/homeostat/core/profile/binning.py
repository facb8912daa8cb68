"""Count a feature's values in the slots of its edges."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from homeostat.core.profile.coerce import Floats, Ints, hash_of
from homeostat.core.profile.edges import CategoryEdges, NumberEdges
from homeostat.core.profile.histogram import FeatureCounts
from homeostat.core.values.whole_numbers import Numbers, integers, is_exact

#: Numbers sorted at a time: half a megabyte, which fits a core's own cache.
CHUNK = 65_536
# Below this many numbers, sorting as float32 first saves nothing.
_MIN_FLOAT32 = 4096
# With more ambiguous cut points than this, or a larger share of ambiguous numbers, an exact sort costs less.
_MAX_AMBIGUOUS, _MAX_AMBIGUOUS_SHARE = 8, 0.001

#: For each cut point and NaN, how many numbers lie below; for each cut point, how many lie below or on it.
Ranks = tuple[Ints, Ints]


def bin_numbers(edges: NumberEdges, pieces: Iterable[Numbers], *, not_numbers: int = 0) -> FeatureCounts:
    """Count numbers in the slots of these edges.

    The numbers are sorted, and each cut point is searched among them: its ranks tell how many numbers are
    below it and how many equal it. NumPy sorts with vector instructions (AVX-512, AVX2, NEON), several
    times faster than it searches each number among the cut points. The counts are right for every float:
    minus zero equals zero, infinities lie outside every finite cut point, NaN sorts last.

    Parameters
    ----------
    pieces
        One column's numbers, in one or more arrays of floats or integers; NaN is missing. The arrays are not
        changed.
    not_numbers
        Rows of the column with a value that is not a number; they count as unseen.
    """
    if edges.exact:
        return _bin_exactly(edges, pieces, not_numbers)
    cuts = np.asarray(edges.cut_points, dtype=np.float64)
    below, upto = np.zeros(cuts.size + 1, dtype=np.int64), np.zeros(cuts.size, dtype=np.int64)
    rows, try_float32 = 0, True
    for numbers in pieces:
        piece = numbers.astype(np.float64, copy=False)
        rows += piece.size
        for start in range(0, piece.size, CHUNK):
            part = piece[start : start + CHUNK]
            ranks = _ranks_by_float32(part, cuts) if try_float32 and part.size >= _MIN_FLOAT32 else None
            if ranks is None:
                try_float32 = part.size < _MIN_FLOAT32  # a column of ties in one chunk has them in the next
                ranks = _ranks(part, cuts)
            below += ranks[0]
            upto += ranks[1]
    slots = np.zeros(edges.size + 1, dtype=np.int64)
    slots[1::2], slots[2::2] = below, upto
    return FeatureCounts(edges, np.diff(slots), rows - int(below[-1]), not_numbers)


def _bin_exactly(edges: NumberEdges, pieces: Iterable[Numbers], not_numbers: int) -> FeatureCounts:
    """Count numbers on integer cut points; Python compares floats with integers exactly."""
    cuts = integers(edges.cut_points)
    slots, missing = np.zeros(edges.size, dtype=np.int64), 0
    for piece in pieces:
        numbers = piece
        if not is_exact(piece):
            numbers = piece[~np.isnan(piece)].astype(object)
            missing += piece.size - numbers.size
        same = numbers.dtype == cuts.dtype
        ordered = np.sort(numbers if same else numbers.astype(object))
        wanted = cuts if same else cuts.astype(object)
        ranks = np.zeros(edges.size + 1, dtype=np.int64)
        ranks[1::2] = np.append(np.searchsorted(ordered, wanted, side="left"), ordered.size)
        ranks[2::2] = np.searchsorted(ordered, wanted, side="right")
        slots += np.diff(ranks)
    return FeatureCounts(edges, slots, missing, not_numbers)


def _ranks(part: Floats, cuts: Floats) -> Ranks:
    ordered = np.sort(part)
    below = np.searchsorted(ordered, np.append(cuts, np.nan), side="left")
    return below, np.searchsorted(ordered, cuts, side="right")


def _ranks_by_float32(part: Floats, cuts: Floats) -> Ranks | None:
    """Return the same ranks from sorting half as many bytes, or None where that saves nothing.

    Rounding to float32 keeps the order: what is below a cut point after rounding was below it before.
    Ambiguous are only the numbers that round to the same float32 as a cut point; those are compared again.
    """
    with np.errstate(all="ignore"):  # beyond float32 is infinite or zero, and still on its own side
        near, near_cuts = part.astype(np.float32), cuts.astype(np.float32)
    ordered = np.sort(near)
    below = np.searchsorted(ordered, np.append(near_cuts, np.float32(np.nan)), side="left")
    upto = np.searchsorted(ordered, near_cuts, side="right")
    ambiguous = np.flatnonzero(upto > below[:-1])
    if ambiguous.size > _MAX_AMBIGUOUS or (upto - below[:-1]).sum() > _MAX_AMBIGUOUS_SHARE * part.size:
        return None
    for at in ambiguous:
        group = part[near == near_cuts[at]]
        upto[at] = below[at] + np.count_nonzero(group <= cuts[at])
        below[at] += np.count_nonzero(group < cuts[at])
    return below, upto


def bin_labels(
    edges: CategoryEdges, per_label: Ints, labels: Iterable[str], *, missing: int
) -> FeatureCounts:
    """Count labels in their own slots, in the rest, or as unseen.

    Parameters
    ----------
    per_label, labels
        ``per_label[i]`` rows hold ``labels[i]``, spelt as the labels of the edges are.
    missing
        Rows without a label.
    """
    slot_of = {label: slot for slot, label in enumerate(edges.labels)}
    rare = frozenset(edges.rest)
    slots = np.zeros(edges.size, dtype=np.int64)
    unseen = 0
    for label, rows in zip(labels, per_label.tolist(), strict=True):
        slot = slot_of.get(label)
        if slot is not None:
            slots[slot] += rows
        elif edges.open or (rare and hash_of(label) in rare):
            slots[-1] += rows
        else:
            unseen += rows
    return FeatureCounts(edges, slots, missing, unseen)
