"""Values into the slots of a frame: where each row of a profile goes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from homeostat.profile.columns import Floats, Ints, hash_of
from homeostat.profile.counts import Counts
from homeostat.profile.frames import CategoryFrame, NumberFrame

#: So many numbers are sorted at a time: half a megabyte, which stays in a core's own cache.
CHUNK = 65_536


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
    ends = np.append(edges, np.nan)  # what sorts before NaN has a value
    below, upto = np.zeros(ends.size, dtype=np.int64), np.zeros(edges.size, dtype=np.int64)
    rows, buffer = 0, np.empty(0)
    for piece in pieces:
        rows += piece.size
        for start in range(0, piece.size, CHUNK):
            part = piece[start : start + CHUNK]
            if part.size > buffer.size:
                buffer = np.empty(part.size)
            ordered = buffer[: part.size]
            ordered[:] = part
            ordered.sort()
            below += np.searchsorted(ordered, ends, side="left")
            upto += np.searchsorted(ordered, edges, side="right")
    ranks = np.zeros(frame.size + 1, dtype=np.int64)
    ranks[1::2], ranks[2::2] = below, upto
    return Counts(frame, np.diff(ranks), rows - int(below[-1]), strangers)


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
