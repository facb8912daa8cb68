"""Count rows into a profile: one vectorised pass, at a cost that depends on these rows alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pandas as pd
import pyarrow as pa

from homeostat.core.profile.arrow import arrow_labels, arrow_numbers, arrow_of, chunks_of
from homeostat.core.profile.binning import bin_labels, bin_numbers
from homeostat.core.profile.coerce import as_labels, as_numbers
from homeostat.core.profile.edges import CategoryEdges, FeatureEdges, NumberEdges, ProfileEdges
from homeostat.core.profile.fit_edges import column_of
from homeostat.core.profile.histogram import FeatureCounts, Profile
from homeostat.core.profile.parallel import run_parallel

Column = TypeVar("Column")


def count_dataframe(edges: ProfileEdges, frame: pd.DataFrame, *, threads: int | None = None) -> Profile:
    """Count rows on fitted edges.

    Parameters
    ----------
    edges
        From :func:`~homeostat.core.profile.fit_edges.fit_edges`.
    frame
        Any rows. Columns without edges are ignored; a column that the frame lacks counts as missing in
        every row.
    threads
        Upper limit of threads; None as in :func:`~homeostat.core.profile.parallel.run_parallel`.

    Raises
    ------
    ValueError
        ``frame`` has a duplicate column.
    """
    columns = {name: column_of(frame, name) for name in edges.features}
    return _profile(edges, len(frame), columns, count_series, threads)


def count_arrow_table(
    edges: ProfileEdges, table: pa.Table | pa.RecordBatch, *, threads: int | None = None
) -> Profile:
    """Count the rows of an Arrow table or batch, with the same result as :func:`count_dataframe`.

    Takes and raises what :func:`count_dataframe` does. Profiles of a file's batches add up to the file's.
    """
    columns = {name: arrow_column(table, name) for name in edges.features}
    return _profile(edges, table.num_rows, columns, count_arrow_column, threads)


def _profile(
    edges: ProfileEdges,
    rows: int,
    columns: dict[str, Column],
    count_one: Callable[[FeatureEdges, Column], FeatureCounts],
    threads: int | None,
) -> Profile:
    def work(name: str) -> FeatureCounts:
        return count_one(edges.features[name], columns[name])

    found = run_parallel(work, columns, values=rows * len(columns), threads=threads)
    return Profile(edges, rows, dict(zip(columns, found, strict=True)))


def count_series(edges: FeatureEdges, column: pd.Series) -> FeatureCounts:
    """Count one pandas column on its edges."""
    if isinstance(edges, NumberEdges):
        numbers, not_numbers = as_numbers(column)
        return bin_numbers(edges, [numbers], not_numbers=not_numbers)
    array = arrow_of(column)
    return _count_labels(edges, column) if array is None else count_arrow_column(edges, array)


def count_arrow_column(edges: FeatureEdges, array: pa.ChunkedArray | pa.Array) -> FeatureCounts:
    """Count one Arrow column on its edges, with the same result as the column in pandas.

    Parameters
    ----------
    edges
        The feature's fitted edges.
    array
        Any Arrow column, nulls allowed. Counts of batches add up to the counts of the whole.
    """
    if isinstance(edges, NumberEdges):
        pieces = arrow_numbers(array.type, chunks_of(array))
        return count_series(edges, array.to_pandas()) if pieces is None else bin_numbers(edges, pieces)
    found = arrow_labels(array, edges.spelling)
    if found is None:
        return _count_labels(edges, array.to_pandas())
    per_label, labels, missing = found
    return bin_labels(edges, per_label, labels, missing=missing)


def _count_labels(edges: CategoryEdges, column: pd.Series) -> FeatureCounts:
    per_label, labels, missing = as_labels(column, edges.spelling)
    return bin_labels(edges, per_label, labels, missing=missing)


def arrow_column(table: pa.Table | pa.RecordBatch, name: str) -> pa.ChunkedArray | pa.Array:
    """Return the column, or one of nulls when the table lacks it; ValueError for a duplicate."""
    times = table.column_names.count(name)
    if times > 1:
        msg = f"duplicate column {name!r} in the table ({times} times): keep one of them"
        raise ValueError(msg)
    return table.column(name) if times else pa.nulls(table.num_rows)
