"""Rows into a profile: one pass, vectorised, at a cost that depends on these rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import pyarrow as pa

from homeostat.core.profile.arrow import arrow_labels, arrow_numbers, arrow_of, chunks_of
from homeostat.core.profile.binning import place_labels, place_numbers
from homeostat.core.profile.coerce import as_labels, as_numbers
from homeostat.core.profile.edges import CategoryFrame, FeatureFrame, Frames, NumberFrame
from homeostat.core.profile.fit_edges import column_of
from homeostat.core.profile.histogram import Counts, Profile
from homeostat.core.profile.parallel import spread

Column = TypeVar("Column")


def count(frames: Frames, frame: pd.DataFrame, *, threads: int | None = None) -> Profile:
    """Count rows on frozen edges.

    Parameters
    ----------
    frames
        From :func:`~homeostat.core.profile.fit_edges.freeze`.
    frame
        Any rows; columns that the frames do not name are passed over, and one that is not there is
        counted as missing throughout.
    threads
        How many may count at once; see :func:`~homeostat.core.profile.parallel.spread` for what None takes.

    Raises
    ------
    ValueError
        A column stands twice in ``frame``.
    """
    columns = {name: column_of(frame, name) for name in frames.features}
    return _profile(frames, len(frame), columns, count_column, threads)


def count_table(frames: Frames, table: pa.Table | pa.RecordBatch, *, threads: int | None = None) -> Profile:
    """Count the rows of an Arrow table or batch: the profile that :func:`count` makes of them.

    Takes and raises what :func:`count` does. Profiles of a file's batches add up to the file's.
    """
    columns = {name: arrow_column(table, name) for name in frames.features}
    return _profile(frames, table.num_rows, columns, count_arrow, threads)


def _profile(
    frames: Frames,
    rows: int,
    columns: dict[str, Column],
    count_one: Callable[[FeatureFrame, Column], Counts],
    threads: int | None,
) -> Profile:
    def work(name: str) -> Counts:
        return count_one(frames.features[name], columns[name])

    found = spread(work, columns, values=rows * len(columns), threads=threads)
    return Profile(frames, rows, dict(zip(columns, found, strict=True)))


def count_column(frame: FeatureFrame, column: pd.Series) -> Counts:
    """Count one column on its frame."""
    if isinstance(frame, NumberFrame):
        numbers, strangers = as_numbers(column)
        return place_numbers(frame, [numbers], strangers=strangers)
    array = arrow_of(column)
    return _labels(frame, column) if array is None else count_arrow(frame, array)


def count_arrow(frame: FeatureFrame, array: pa.ChunkedArray | pa.Array) -> Counts:
    """Count one Arrow column on its frame: the same counts as the column in pandas gives.

    Parameters
    ----------
    frame
        The feature's frozen edges or labels.
    array
        Any Arrow column, nulls allowed. Counts of batches add up to the counts of the whole.
    """
    if isinstance(frame, NumberFrame):
        pieces = arrow_numbers(array.type, chunks_of(array))
        return count_column(frame, array.to_pandas()) if pieces is None else place_numbers(frame, pieces)
    found = arrow_labels(array)
    if found is None:
        return _labels(frame, array.to_pandas())
    per_label, labels, missing = found
    return place_labels(frame, per_label, labels, missing=missing)


def _labels(frame: CategoryFrame, column: pd.Series) -> Counts:
    per_label, labels, missing = as_labels(column)
    return place_labels(frame, per_label, labels, missing=missing)


def arrow_column(table: pa.Table | pa.RecordBatch, name: str) -> pa.ChunkedArray | pa.Array:
    """The column, or one of nothing but nulls when the table has none of that name."""
    there = table.column_names.count(name)
    if there > 1:
        msg = f"column {name!r} stands {there} times in the table: keep one of them"
        raise ValueError(msg)
    return table.column(name) if there else pa.nulls(table.num_rows)
