"""Count a feature's values in the slots of its edges."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

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
    bins = NumberBins(edges)
    for piece in pieces:
        bins.add(piece)
    return replace(bins.counts, unseen=not_numbers)


class NumberBins:
    """Numbers counted so far on these edges, see :func:`bin_numbers`."""

    def __init__(self, edges: NumberEdges) -> None:
        self._edges = edges
        self._cuts = integers(edges.cut_points) if edges.exact else np.array(edges.cut_points, np.float64)
        self._slots = np.zeros(edges.size, dtype=np.int64)
        self._missing = 0
        self._try_float32 = True

    @property
    def counts(self) -> FeatureCounts:
        """The counts so far; NaN is missing."""
        return FeatureCounts(self._edges, self._slots.copy(), self._missing)

    def add(self, numbers: Numbers) -> None:
        """Count more numbers, floats or integers."""
        if self._edges.exact:
            self._add_exactly(numbers)
            return
        piece = numbers.astype(np.float64, copy=False)
        for start in range(0, piece.size, CHUNK):
            self._add_part(piece[start : start + CHUNK])

    def _add_part(self, part: Floats) -> None:
        ranks = None
        if self._try_float32 and part.size >= _MIN_FLOAT32:
            ranks = _ranks_by_float32(part, self._cuts)
            self._try_float32 = ranks is not None  # a column of ties in one part has them in the next
        below, upto = ranks or _ranks(part, self._cuts)
        between = np.zeros(self._slots.size + 1, dtype=np.int64)
        between[1::2], between[2::2] = below, upto
        self._slots += np.diff(between)
        self._missing += part.size - int(below[-1])

    def _add_exactly(self, numbers: Numbers) -> None:
        """Count on integer cut points; Python compares floats with integers exactly."""
        found = numbers
        if not is_exact(numbers):
            found = numbers[~np.isnan(numbers)].astype(object)
            self._missing += numbers.size - found.size
        same = found.dtype == self._cuts.dtype
        ordered = np.sort(found if same else found.astype(object))
        self._slots += _slots(ordered, self._cuts if same else self._cuts.astype(object))


def number_slots(edges: NumberEdges, numbers: Floats, rows: Ints) -> tuple[Ints, int]:
    """Return the rows of each slot and the missing ones, where ``rows[i]`` rows hold ``numbers[i]``."""
    known = ~np.isnan(numbers)
    found = np.zeros(edges.size, dtype=np.int64)
    np.add.at(found, slots_of_numbers(edges, numbers[known]), rows[known])
    return found, int(rows[~known].sum())


def slots_of_numbers(edges: NumberEdges, numbers: Floats) -> Ints:
    """Return the slot of each number, shape (n,); none may be NaN."""
    cuts = np.array(edges.cut_points, dtype=object if edges.exact else np.float64)
    present = numbers.astype(cuts.dtype)
    return np.searchsorted(cuts, present, side="left") + np.searchsorted(cuts, present, side="right")


def bin_sorted(edges: NumberEdges, ordered: Numbers, *, not_numbers: int = 0) -> FeatureCounts:
    """Count the numbers that the edges were fitted to, in ascending order and without NaN."""
    cuts = np.array(edges.cut_points, dtype=ordered.dtype)
    return FeatureCounts(edges, _slots(ordered, cuts), 0, not_numbers)


def _slots(ordered: Numbers, cuts: Numbers) -> Ints:
    """Return how many of these numbers, in ascending order, lie in each slot."""
    ranks = np.zeros(2 * cuts.size + 2, dtype=np.int64)
    ranks[1::2] = np.append(np.searchsorted(ordered, cuts, side="left"), ordered.size)
    ranks[2::2] = np.searchsorted(ordered, cuts, side="right")
    return np.diff(ranks)


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
    slots = np.zeros(edges.size, dtype=np.int64)
    unseen = 0
    for slot, rows in zip(slots_of_labels(edges, labels), per_label.tolist(), strict=True):
        if slot is None:
            unseen += rows
        else:
            slots[slot] += rows
    return FeatureCounts(edges, slots, missing, unseen)


def slots_of_labels(edges: CategoryEdges, labels: Iterable[str]) -> list[int | None]:
    """Return the slot of each label, spelt as those of the edges are; None for one that is unseen."""
    slot_of = {label: slot for slot, label in enumerate(edges.labels)}
    rare, rest = frozenset(edges.rest), len(edges.labels)

    def slot(label: str) -> int | None:
        if label in slot_of:
            return slot_of[label]
        return rest if edges.open or (rare and hash_of(label) in rare) else None

    return [slot(label) for label in labels]
