"""Read tables in CSV or Parquet, a file or a folder of them, on disk or in S3, a few columns at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from homeostat.adapters.table_location import TableFile, list_files, storage_errors
from homeostat.adapters.tables_csv import CsvHeader, csv_batches, csv_header
from homeostat.config.errors import DataError, HomeostatError

#: Approximate bytes of one batch in memory, whatever the table's length.
BATCH_BYTES = 16 * 2**20
_TEXT = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """A table that is not in memory.

    Attributes
    ----------
    uri
        The location as given.
    names
        Columns in the order in which they appear first; those of hive partitions (``day=1/``) come last.
    types
        Each column's type: Arrow's name for it, ``text`` for everything in CSV.
    rows
        Number of rows, None when only reading would tell (CSV).
    about_rows
        Approximate number of rows.
    files
        The table's files.
    headers
        The header of each CSV file, by its path.
    """

    uri: str
    names: tuple[str, ...]
    types: Mapping[str, str]
    rows: int | None
    about_rows: int
    files: tuple[TableFile, ...]
    headers: Mapping[str, CsvHeader]

    @property
    def columnar(self) -> bool:
        """Whether one column costs less to read than all of them (Parquet)."""
        return not self.headers

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read these columns in batches; memory holds one batch.

        A column that one of several files lacks is null there, and its type may differ between files.

        Raises
        ------
        DataError
            A file's content does not match its name, or a line is malformed.
        """
        size = max(1024, BATCH_BYTES // (16 * max(1, len(columns))))
        for file in self.files:
            inside = [name for name in columns if name not in file.partitions]
            with _file_errors(file):
                for batch in self._batches_of(file, inside, size):
                    yield _align_columns(batch, columns, file.partitions)

    def _batches_of(self, file: TableFile, columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
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
        The table does not exist, is empty, is neither CSV nor Parquet, or has a duplicate column.
    ConfigError
        The object store denies access, or there are no credentials.
    Unavailable
        The object store does not respond.
    """
    files = list_files(uri)
    types: dict[str, str] = {}
    headers: dict[str, CsvHeader] = {}
    rows = about = 0
    for file in files:
        with _file_errors(file):
            if file.kind == "csv":
                header = headers[file.path] = csv_header(file)
                found = dict.fromkeys(header.names, _TEXT)
                about += header.about_rows
            else:
                found, file_rows = _parquet_footer(file)
                rows += file_rows
        for name, kind in found.items():
            types.setdefault(name, kind)
    for file in files:
        types.update(dict.fromkeys(file.partitions, _TEXT))
    return Table(uri, tuple(types), types, None if headers else rows, about + rows, tuple(files), headers)


@contextmanager
def _file_errors(file: TableFile) -> Iterator[None]:
    """Name the file in errors: Arrow's messages do not."""
    try:
        with storage_errors(file.display_name):
            yield
    except HomeostatError:
        raise
    except (ValueError, NotImplementedError) as error:
        detail = str(error).strip().partition("\n")[0]
        msg = f"{file.display_name} cannot be read as {file.kind}: {detail}"
        raise DataError(msg) from error


def _parquet_footer(file: TableFile) -> tuple[dict[str, str], int]:
    import pyarrow.parquet as pq

    with file.open() as handle, pq.ParquetFile(handle) as parquet:
        schema, rows = parquet.schema_arrow, parquet.metadata.num_rows
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        times = schema.names.count(twice)
        msg = f"{file.display_name}: duplicate column '{twice}' ({times} times); keep one of them"
        raise DataError(msg)
    return {field.name: str(field.type) for field in schema}, rows


def _parquet_batches(file: TableFile, columns: list[str], size: int) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    # Pages are read one by one through a buffer; the default, pre-buffering, would hold the whole file.
    with file.open() as handle, pq.ParquetFile(handle, buffer_size=2**20, pre_buffer=False) as parquet:
        present = [name for name in columns if name in parquet.schema_arrow.names]
        if present:
            yield from parquet.iter_batches(batch_size=size, columns=present, use_threads=False)
            return
        left = parquet.metadata.num_rows
    while left > 0:
        yield pa.record_batch({"": pa.nulls(min(size, left))})
        left -= size


def _align_columns(
    batch: pa.RecordBatch, columns: Sequence[str], partitions: Mapping[str, str | None]
) -> pa.RecordBatch:
    """Return the batch with these columns in this order: partitions added, absent columns null."""

    def column(name: str) -> pa.Array:
        if name in partitions:
            return pa.repeat(pa.scalar(partitions[name], pa.string()), batch.num_rows)
        return batch.column(name) if name in batch.schema.names else pa.nulls(batch.num_rows)

    return pa.record_batch([column(name) for name in columns], names=list(columns))
