"""Read Parquet in batches, without the row groups outside a range of times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError
from homeostat.config.times import utc


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The times ``[start, end)`` of a column; None is no bound."""

    column: str
    start: datetime | None
    end: datetime | None


def parquet_footer(file: TableFile) -> tuple[dict[str, str], int]:
    """Return each column's type and the number of rows; DataError for a duplicate column."""
    import pyarrow.parquet as pq

    with file.open() as handle, pq.ParquetFile(handle) as parquet:
        schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        times = schema.names.count(twice)
        msg = f"{file.display_name}: duplicate column '{twice}' ({times} times); keep one of them"
        raise DataError(msg)
    return {field.name: str(field.type) for field in schema}, rows


def parquet_batches(
    file: TableFile, columns: list[str], size: int, between: TimeRange | None = None
) -> Iterator[pa.RecordBatch]:
    """Read these columns in batches of ``size`` rows; a column that the file lacks is left out."""
    import pyarrow.parquet as pq

    # Pages are read one by one through a buffer; the default, pre-buffering, would hold the whole file.
    with file.open() as handle, pq.ParquetFile(handle, buffer_size=2**20, pre_buffer=False) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        groups = _groups(parquet, between)
        if present:
            yield from parquet.iter_batches(
                batch_size=size, row_groups=groups, columns=present, use_threads=False
            )
            return
        left = sum(parquet.metadata.row_group(group).num_rows for group in groups)
    while left > 0:
        yield pa.record_batch({"": pa.nulls(min(size, left))})
        left -= size


def _groups(parquet: Any, between: TimeRange | None) -> list[int]:
    """Return the row groups that may hold rows of this range."""
    groups = list(range(parquet.num_row_groups))
    schema = parquet.schema_arrow
    if between is None or between.column not in schema.names:
        return groups
    if not pa.types.is_timestamp(schema.field(between.column).type):
        return groups
    return [group for group in groups if _touches(parquet.metadata.row_group(group), between)]


def _touches(group: Any, between: TimeRange) -> bool:
    column = next(
        (
            group.column(at)
            for at in range(group.num_columns)
            if group.column(at).path_in_schema == between.column
        ),
        None,
    )
    statistics = column.statistics if column is not None else None
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        first, last = utc(statistics.min), utc(statistics.max)
    except (OverflowError, ValueError):  # beyond the year 9999
        return True
    return (between.start is None or last >= between.start) and (between.end is None or first < between.end)
