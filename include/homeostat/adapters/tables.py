"""Tables in CSV or Parquet, a file or a folder of them, here or in S3, read a few columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from homeostat.adapters.table_location import Found, asking, locate
from homeostat.adapters.tables_csv import Header, csv_batches, csv_header
from homeostat.config.errors import DataError, HomeostatError

#: Bytes of one batch in memory, about: what a table of any length is read in.
BATCH_BYTES = 16 * 2**20
_TEXT = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not in memory.

    Attributes
    ----------
    uri
        What was asked for.
    names
        Columns in the order in which they appear first; those of hive partitions (``day=1/``) come last.
    types
        Each column's type: Arrow's name for it, ``text`` for everything in CSV.
    rows
        How many, None when that is only known after reading (CSV).
    about_rows
        How many there are, about.
    files
        Where they lie.
    """

    uri: str
    names: tuple[str, ...]
    types: Mapping[str, str]
    rows: int | None
    about_rows: int
    files: tuple[Found, ...]
    headers: Mapping[str, Header]

    @property
    def by_column(self) -> bool:
        """Whether one column costs less to read than all of them."""
        return not self.headers

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read these columns from end to end; memory holds one batch.

        A column that one of several files does not have is null there, and its type may differ from
        file to file: whoever reads it, reads values.

        Raises
        ------
        DataError
            A file is not what its name says, or has a line that is broken.
        """
        size = max(1024, BATCH_BYTES // (16 * max(1, len(columns))))
        for file in self.files:
            inside = [name for name in columns if name not in file.partitions]
            with _named(file):
                for batch in self._of(file, inside, size):
                    yield _completed(batch, columns, file.partitions)

    def _of(self, file: Found, columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
        if file.kind == "csv":
            return csv_batches(file, self.headers[file.path], columns)
        return _parquet_batches(file, columns, size)


def open_table(uri: str) -> Table:
    """Open a table: a path, ``file:///path`` or ``s3://bucket/key``, of a file or of a folder.

    Only headers and footers are read. In a folder every ``.csv`` or ``.parquet`` file below it counts,
    apart from names with a leading dot or underscore; ``.csv.gz`` is CSV too. CSV may be separated by
    commas, semicolons, tabs or bars. ``AWS_ENDPOINT_URL`` names another object store than Amazon's.

    Raises
    ------
    DataError
        Nothing is there, it is empty, it is neither CSV nor Parquet, or a column stands twice.
    ConfigError
        The object store refuses, or there are no credentials.
    Unavailable
        The object store does not answer.
    """
    files = locate(uri)
    types: dict[str, str] = {}
    headers: dict[str, Header] = {}
    rows = about = 0
    for file in files:
        with _named(file):
            if file.kind == "csv":
                header = headers[file.path] = csv_header(file)
                found = dict.fromkeys(header.names, _TEXT)
                about += header.about_rows
            else:
                found, here = _parquet_footer(file)
                rows += here
        types = (
            {**found, **types}
            if not types
            else {**types, **{k: v for k, v in found.items() if k not in types}}
        )
    for file in files:
        types.update(dict.fromkeys(file.partitions, _TEXT))
    return Table(uri, tuple(types), types, None if headers else rows, about + rows, tuple(files), headers)


@contextmanager
def _named(file: Found) -> Iterator[None]:
    """Say which file it was: Arrow's errors do not."""
    try:
        with asking(file.shown):
            yield
    except HomeostatError:
        raise
    except (ValueError, NotImplementedError) as error:
        said = str(error).strip().partition("\n")[0]
        msg = f"{file.shown} cannot be read as {file.kind}: {said}"
        raise DataError(msg) from error


def _parquet_footer(file: Found) -> tuple[dict[str, str], int]:
    import pyarrow.parquet as pq

    with file.open() as handle, pq.ParquetFile(handle) as parquet:
        schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        msg = f"{file.shown}: column '{twice}' stands {schema.names.count(twice)} times; keep one of them"
        raise DataError(msg)
    return {field.name: str(field.type) for field in schema}, rows


def _parquet_batches(file: Found, columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    # Pages come one by one through a buffer; read ahead, which is the default, the whole file would be held.
    with file.open() as handle, pq.ParquetFile(handle, buffer_size=2**20, pre_buffer=False) as parquet:
        there = [name for name in columns if name in parquet.schema_arrow.names]
        if there:
            yield from parquet.iter_batches(batch_size=size, columns=there, use_threads=False)
            return
        left = parquet.metadata.num_rows
    while left > 0:
        yield pa.record_batch({"": pa.nulls(min(size, left))})
        left -= size


def _completed(
    batch: pa.RecordBatch, columns: Sequence[str], fixed: Mapping[str, str | None]
) -> pa.RecordBatch:
    def column(name: str) -> pa.Array:
        if name in fixed:
            return pa.repeat(pa.scalar(fixed[name], pa.string()), batch.num_rows)
        return batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows)

    return pa.record_batch([column(name) for name in columns], names=list(columns))
