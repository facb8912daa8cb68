"""Rows into a profile: one pass, vectorised, at a cost that depends on these rows alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

from homeostat.profile.columns import as_labels, as_numbers, hash_of
from homeostat.profile.counts import Counts, Profile
from homeostat.profile.frames import CategoryFrame, FeatureFrame, Frames, NumberFrame
from homeostat.profile.freeze import column_of


def count(frames: Frames, frame: pd.DataFrame) -> Profile:
    """Count rows on frozen edges.

    Parameters
    ----------
    frames
        From :func:`~homeostat.profile.freeze.freeze`.
    frame
        Any rows; columns that the frames do not name are passed over, and one that is not there is
        counted as missing throughout.

    Raises
    ------
    ValueError
        A column stands twice in ``frame``.
    """
    return Profile(
        frames,
        len(frame),
        {name: count_column(shape, column_of(frame, name)) for name, shape in frames.features.items()},
    )


def count_column(frame: FeatureFrame, column: pd.Series) -> Counts:
    """Count one column on its frame."""
    return _numbers(frame, column) if isinstance(frame, NumberFrame) else _labels(frame, column)


def _numbers(frame: NumberFrame, column: pd.Series) -> Counts:
    numbers, strangers = as_numbers(column)
    edges = np.asarray(frame.edges, dtype=np.float64)
    below = np.searchsorted(edges, numbers)
    slots = 2 * below + (np.append(edges, np.nan)[below] == numbers)
    values = np.bincount(slots, minlength=frame.size).astype(np.int64, copy=False)
    missing = int(np.isnan(numbers).sum())
    values[-1] -= missing  # NaN sorts behind everything, into the last slot
    return Counts(frame, values, missing, strangers)


def _labels(frame: CategoryFrame, column: pd.Series) -> Counts:
    per_label, labels, missing = as_labels(column)
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
