"""Values into the slots of a frame: where each row of a profile goes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from homeostat.core.profile.coerce import Floats, Ints, hash_of
from homeostat.core.profile.edges import CategoryFrame, NumberFrame
from homeostat.core.profile.histogram import Counts

#: So many numbers are sorted at a time: half a megabyte, which stays in a core's own cache.
CHUNK = 65_536
# Below this many numbers there is nothing to gain from sorting them coarsely first.
_WORTH_IT = 4096
# With more edges in doubt than this, or a larger share of the numbers, sorting exactly costs less.
_FEW, _SMALL = 8, 0.001

#: Of each edge and of NaN, how many numbers lie below; of each edge, how many lie below or on it.
Ranks = tuple[Ints, Ints]


def place_numbers(frame: NumberFrame, pieces: Iterable[Floats], *, strangers: int = 0) -> Counts:
    """Count numbers around the frame's edges.

    Sorted numbers need no search of their own: between which ranks an edge lies says how many are
    below it and how many equal it. NumPy sorts with vector instructions (AVX-512, AVX2, NEON), several
    times faster than it finds each number's place among the edges, and the counts are the same for
    any float: minus zero equals zero, infinities lie outside every finite edge, NaN sorts last.

    Parameters
    ----------
    pieces
        One column's numbers, in one or more float arrays; NaN is missing. They are left as they are.
    strangers
        Rows of the column that hold no number, counted as unseen.
    """
    edges = np.asarray(frame.edges, dtype=np.float64)
    below, upto = np.zeros(edges.size + 1, dtype=np.int64), np.zeros(edges.size, dtype=np.int64)
    rows, coarse = 0, True
    for piece in pieces:
        rows += piece.size
        for start in range(0, piece.size, CHUNK):
            part = piece[start : start + CHUNK]
            ranks = _coarsely(part, edges) if coarse and part.size >= _WORTH_IT else None
            if ranks is None:
                coarse = part.size < _WORTH_IT  # a column of ties in one chunk has them in the next
                ranks = _exactly(part, edges)
            below += ranks[0]
            upto += ranks[1]
    slots = np.zeros(frame.size + 1, dtype=np.int64)
    slots[1::2], slots[2::2] = below, upto
    return Counts(frame, np.diff(slots), rows - int(below[-1]), strangers)


def _exactly(part: Floats, edges: Floats) -> Ranks:
    ordered = np.sort(part)
    below = np.searchsorted(ordered, np.append(edges, np.nan), side="left")
    return below, np.searchsorted(ordered, edges, side="right")


def _coarsely(part: Floats, edges: Floats) -> Ranks | None:
    """The same ranks from sorting half as many bytes, None where that does not save anything.

    Rounding to float32 keeps the order: what is below an edge after rounding was below it before. In
    doubt is only what rounds to the very float32 that an edge rounds to, and that is looked at again.
    """
    with np.errstate(all="ignore"):  # beyond float32 is infinite or zero, and still on its own side
        near, near_edges = part.astype(np.float32), edges.astype(np.float32)
    ordered = np.sort(near)
    below = np.searchsorted(ordered, np.append(near_edges, np.float32(np.nan)), side="left")
    upto = np.searchsorted(ordered, near_edges, side="right")
    doubtful = np.flatnonzero(upto > below[:-1])
    if doubtful.size > _FEW or (upto - below[:-1]).sum() > _SMALL * part.size:
        return None
    for at in doubtful:
        group = part[near == near_edges[at]]
        upto[at] = below[at] + np.count_nonzero(group <= edges[at])
        below[at] += np.count_nonzero(group < edges[at])
    return below, upto


def place_labels(frame: CategoryFrame, per_label: Ints, labels: Iterable[str], *, missing: int) -> Counts:
    """Count labels in their own slots, in the rest, or as never seen.

    Parameters
    ----------
    per_label, labels
        ``per_label[i]`` rows hold ``labels[i]``, spelt as the frame's labels are.
    missing
        Rows without a label.
    """
    slot_of = {label: slot for slot, label in enumerate(frame.labels)}
    rare = frozenset(frame.rest)
    values = np.zeros(frame.size, dtype=np.int64)
    unseen = 0
    for label, rows in zip(labels, per_label.tolist(), strict=True):
        slot = slot_of.get(label)
        if slot is not None:
            values[slot] += rows
        elif frame.open or (rare and hash_of(label) in rare):
            values[-1] += rows
        else:
            unseen += rows
    return Counts(frame, values, missing, unseen)
