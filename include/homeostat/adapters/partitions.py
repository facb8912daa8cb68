"""Add the columns that a file's folders name (``day=1/``), and compare them with those of the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import pyarrow as pa

from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError
from homeostat.config.label_text import label_text


def require_partition(file: TableFile, name: str, values: pa.Array) -> None:
    """Raise DataError for a value in the file that is not the one that its folder names.

    The folder's value stands for the column, so another one would be lost.
    """
    named = file.partitions[name]
    for value in values.unique().to_pylist():
        if not _same(value, named):
            msg = (
                f"{file.display_name}: column '{name}' holds {value!s:.60}, its folder says "
                f"{name}={named or ''}; rename the column or the folder"
            )
            raise DataError(msg)


def _same(value: Any, named: str | None) -> bool:
    if value is None or named is None:
        return value is named
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, date):
        return value.isoformat() == named
    if label_text(value) == label_text(named):
        return True
    try:
        return float(value) == float(named)  # 03 is 3
    except (TypeError, ValueError):
        return False


def align_columns(
    batch: pa.RecordBatch, columns: Sequence[str], partitions: Mapping[str, str | None]
) -> pa.RecordBatch:
    """Return the batch with these columns in this order: partitions added, absent columns null."""
    names = batch.schema.names
    if not partitions and names == list(columns):
        return batch
    read = dict(zip(names, batch.columns, strict=True))

    def column(name: str) -> pa.Array:
        if name in partitions:
            return pa.repeat(pa.scalar(partitions[name], pa.string()), batch.num_rows)
        found = read.get(name)
        return pa.nulls(batch.num_rows) if found is None else found

    return pa.record_batch([column(name) for name in columns], names=list(columns))
