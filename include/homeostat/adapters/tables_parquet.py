"""Read Parquet in batches, without the row groups outside a range of times."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError
from homeostat.config.times import utc

#: Files of a table that are kept open.
MAX_OPEN = 16
#: A text that is not a code takes at least its length, in so many bytes.
_CODE_BYTES = 4


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The times ``[start, end)`` of a column; None is no bound."""

    column: str
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True)
class OpenParquet:
    """An open file, its types by column, and its number of rows."""

    parquet: Any  # a pyarrow.parquet.ParquetFile, which comes without types
    types: Mapping[str, pa.DataType]
    rows: int


class ParquetFiles(threading.local):
    """The files opened last by each thread: a footer costs more than a few columns of a wide table."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[tuple[str, bool], OpenParquet] = {}

    def open(self, file: TableFile, *, codes: bool = False) -> OpenParquet:
        """Return the open file; DataError for a duplicate column.

        With ``codes``, text of which the file holds codes is read so.
        """
        key = (file.path, codes)
        found = self._open.pop(key, None)
        if found is None:
            found = _open(file)
            if codes and (texts := _encoded_texts(found)):
                found = _open(file, texts, found.parquet.metadata)
            if len(self._open) >= MAX_OPEN:
                oldest = next(iter(self._open))
                self._open.pop(oldest).parquet.close(force=True)
        self._open[key] = found
        return found


def _open(file: TableFile, codes: Sequence[str] = (), metadata: Any = None) -> OpenParquet:
    import pyarrow.parquet as pq

    # Pages are read one by one through a buffer; the default, pre-buffering, would hold the whole file.
    parquet = pq.ParquetFile(
        file.open(), metadata=metadata, buffer_size=2**20, pre_buffer=False, read_dictionary=list(codes)
    )
    schema = parquet.schema_arrow
    twice = [name for name, times in Counter(schema.names).items() if times > 1]
    if twice:
        msg = f"{file.display_name}: duplicate column '{twice[0]}' ({schema.names.count(twice[0])} times); "
        raise DataError(msg + "keep one of them")
    for field in schema:
        _require_time_zone(field)
    return OpenParquet(parquet, {field.name: field.type for field in schema}, parquet.metadata.num_rows)


def _encoded_texts(found: OpenParquet) -> list[str]:
    """Return the columns of text that the file keeps as a dictionary and codes.

    A writer gives up the dictionary where most texts differ; to encode them again costs more than it saves.
    A text that is written out takes more than :data:`_CODE_BYTES`.
    """
    texts = {name for name, kind in found.types.items() if _is_text(kind)}
    if not texts or not found.parquet.num_row_groups:
        return []
    return [
        name
        for name, each in _chunks(found, 0, texts).items()
        if each.total_uncompressed_size <= _CODE_BYTES * each.num_values
    ]


def _chunks(found: OpenParquet, group: int, columns: Collection[str]) -> dict[str, Any]:
    """Return what a row group's metadata say of these columns, by name.

    Arrow ends the whole process when it is asked for the metadata of a damaged footer. When it reads a row
    first, it raises an error instead.
    """
    next(found.parquet.iter_batches(batch_size=1, row_groups=[group], columns=list(columns)), None)
    metadata = found.parquet.metadata.row_group(group)
    places = {each.path: at for at, each in enumerate(found.parquet.schema) if each.path in columns}
    return {name: metadata.column(at) for name, at in places.items()}


def _require_time_zone(field: Any) -> None:
    """Raise ValueError for a time zone that is not UTF-8, which Arrow does not check when it opens a file."""
    try:
        getattr(field.type, "tz", None)
    except UnicodeDecodeError as error:
        msg = f"column '{field.name}' has a time zone that is not UTF-8; is the file damaged? ({error})"
        raise ValueError(msg) from None


def parquet_batches(
    found: OpenParquet, columns: Sequence[str], size: int, between: TimeRange | None = None
) -> Iterator[pa.RecordBatch]:
    """Read these columns in batches of ``size`` rows; a column that the file lacks is left out."""
    present = [name for name in columns if name in found.types]
    groups = _groups(found, between)
    if present:
        texts = [name for name in present if _is_text(found.types[name])]
        unknown = [name for name in present if not _is_known_zone(found.types[name])]
        for batch in found.parquet.iter_batches(
            batch_size=size, row_groups=groups, columns=present, use_threads=False
        ):
            for name in texts:
                _require_utf8(batch.column(name), name)
            yield _in_utc(batch, unknown) if unknown else batch
        return
    left = sum(found.parquet.metadata.row_group(group).num_rows for group in groups)
    while left > 0:
        yield pa.record_batch({"": pa.nulls(min(size, left))})
        left -= size


def _is_known_zone(kind: pa.DataType) -> bool:
    """Return whether Python knows the time zone of a timestamp; other writers name ``Z`` or ``GMT+02:00``."""
    zone = getattr(kind, "tz", None)
    if zone is None:
        return True
    try:
        pa.lib.string_to_tzinfo(zone)
    except (LookupError, ValueError):
        return False
    return True


def _in_utc(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """Return the batch with UTC in place of unknown zones; the instants are the same."""
    for name in columns:
        at = batch.schema.get_field_index(name)
        array = batch.column(at)
        batch = batch.set_column(at, name, array.cast(pa.timestamp(array.type.unit, "UTC")))
    return batch


def _is_text(kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(
        pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_string_view(value)
    )


def _require_utf8(array: pa.Array, name: str) -> None:
    """Raise ValueError for text that is not UTF-8, which Arrow does not check when it reads Parquet."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        msg = f"column '{name}' holds text that is not UTF-8; is the file damaged? ({error})"
        raise ValueError(msg) from None


def _groups(found: OpenParquet, between: TimeRange | None) -> list[int]:
    """Return the row groups that may hold rows of this range."""
    groups = list(range(found.parquet.num_row_groups))
    kind = found.types.get(between.column) if between is not None else None
    if between is None or kind is None or not pa.types.is_timestamp(kind):
        return groups
    return [group for group in groups if _touches(_chunks(found, group, [between.column]), between)]


def _touches(chunks: Mapping[str, Any], between: TimeRange) -> bool:
    column = chunks.get(between.column)
    statistics = column.statistics if column is not None else None
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        first, last = utc(statistics.min), utc(statistics.max)
    except (OverflowError, ValueError, LookupError):  # beyond the year 9999; an unknown time zone
        return True
    return (between.start is None or last >= between.start) and (between.end is None or first < between.end)
