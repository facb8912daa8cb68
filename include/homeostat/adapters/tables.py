"""Read tables in CSV or Parquet, a file or a folder of them, on disk or in S3, a few columns at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.column_names import require_one_table
from homeostat.adapters.csv_head import CsvHead, read_csv_head
from homeostat.adapters.file_systems import storage_errors
from homeostat.adapters.folder_files import table_files
from homeostat.adapters.parquet_bytes import holds_text, is_bytes, with_text
from homeostat.adapters.partitions import align_columns, require_partition
from homeostat.adapters.table_location import FileKind, TableFile
from homeostat.adapters.tables_csv import RepeatedNames, csv_batches
from homeostat.adapters.tables_parquet import ParquetFiles, TimeRange, parquet_batches
from homeostat.config.errors import DataError, HomeostatError

#: Approximate bytes of one batch in memory, whatever the table's length.
BATCH_BYTES = 16 * 2**20
#: Values of a batch of Parquet: half a megabyte, which fits a core's own cache.
_CACHED_VALUES, _CACHED_TEXTS = 2**16, 2**20
#: The type of every column of a CSV file, and of the partitions in the names of folders.
TEXT = "text"
#: Key of a batch's file in the metadata of its schema.
FILE_KEY = b"homeostat.file"


def file_of(batch: pa.RecordBatch) -> str:
    """Return the file of a batch of :meth:`Table.batches`."""
    return str((batch.schema.metadata or {}).get(FILE_KEY, b""), "utf-8", "replace")


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
    heads
        The head of each CSV file, by its path.
    late
        For each column that some files lack, the number of these files.
    left_out
        The sentence on files of the folder that are not read; empty for none.
    parquet_files
        Parquet files that are open already.
    bytes_are_text
        For each Parquet column of bytes whether they are text, None until its values are read.
    repeated
        The rows of CSV files that repeat the column names, as far as they are read.
    """

    uri: str
    names: tuple[str, ...]
    types: dict[str, str]
    rows: int | None
    about_rows: int
    files: tuple[TableFile, ...]
    heads: Mapping[str, CsvHead]
    late: Mapping[str, int] = field(default_factory=dict)
    left_out: str = ""
    parquet_files: ParquetFiles = field(default_factory=ParquetFiles, compare=False, repr=False)
    bytes_are_text: dict[str, bool | None] = field(default_factory=dict, compare=False, repr=False)
    repeated: RepeatedNames = field(default_factory=dict, compare=False, repr=False)

    @property
    def notes(self) -> list[str]:
        """Sentences on what is not read, once it is known: files of a folder, rows with column names."""
        notes = [self.left_out] if self.left_out else []
        for file in self.files:
            count = len(self.repeated.get(file.path, ()))
            if count:
                rows = "1 row that repeats" if count == 1 else f"{count:,} rows that repeat"
                notes.append(f"{file.display_name}: left out {rows} the column names")
        return notes

    @property
    def columns_per_pass(self) -> int:
        """How many columns to read at a time.

        Of CSV all, since every pass reads every line; of Parquet as many as leave batches long, since each
        batch costs time for each column, however short it is.
        """
        if self.heads:
            return max(1, len(self.names))
        return max(1, _CACHED_VALUES // max(1, self.about_rows))

    def batches(
        self, columns: Sequence[str], between: TimeRange | None = None, *, codes: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Read these columns in batches; memory holds one batch.

        A column that one of several files lacks is null there, and its type may differ between files. Bytes
        of Parquet are text where all values of the column are. Row groups of Parquet without rows in
        ``between`` are skipped, by their statistics; the others are whole.
        With ``codes``, text of Parquet comes as a dictionary and codes.
        :data:`FILE_KEY` in the metadata of a batch's schema names its file. Several threads may read.

        Raises
        ------
        DataError
            A file's content does not match its name, a line is malformed, or a column has another value
            than the partition of the same name.
        """
        texts = [name for name in columns if name in self.bytes_are_text and self._is_text(name)]
        size = self._batch_rows(columns)
        for file in self.files:
            with _file_errors(file):
                own = self._own_columns(file)
                inside = [name for name in columns if name not in file.partitions or name in own]
                twice = [name for name in inside if name in file.partitions]
                for read in self._batches_of(file, inside, size, between, codes=codes):
                    batch = with_text(read, texts)
                    for name in twice:
                        require_partition(file, name, batch.column(name))
                    aligned = align_columns(batch, columns, file.partitions)
                    yield aligned.replace_schema_metadata({FILE_KEY: file.path})

    def _batch_rows(self, columns: Sequence[str]) -> int:
        """Return how many rows fit the processor's cache; more of texts, whose distinct ones are read."""
        texts = all("string" in self.types.get(name, "") for name in columns)
        fitting = _CACHED_TEXTS if texts else _CACHED_VALUES
        most = BATCH_BYTES // (16 * max(1, len(columns)))
        return max(1024, min(most, fitting // max(1, len(columns))))

    def _is_text(self, name: str) -> bool:
        """Return whether a column of bytes is text, by all of its values."""
        known = self.bytes_are_text[name]
        if known is None:
            known = True
            for file in self.files:
                with _file_errors(file):
                    known = known and (file.kind == "csv" or holds_text(self.parquet_files.open(file), name))
            self.bytes_are_text[name] = known
            if known:
                self.types[name] = "string"
        return known

    def _own_columns(self, file: TableFile) -> Collection[str]:
        """Return the columns in a file of a partition; empty for another file."""
        if not file.partitions:
            return ()
        return self.heads[file.path].names if file.kind == "csv" else self.parquet_files.open(file).types

    def _batches_of(
        self, file: TableFile, columns: list[str], size: int, between: TimeRange | None, *, codes: bool
    ) -> Iterator[pa.RecordBatch]:
        if file.kind == "csv":
            return csv_batches(file, self.heads[file.path], columns, self.repeated)
        return parquet_batches(self.parquet_files.open(file, codes=codes), columns, size, between)


def open_table(uri: str, *, base: Path | None = None, kind: FileKind | None = None) -> Table:
    """Open a table: a path, ``file:///path`` or ``s3://bucket/key``, of a file or of a folder.

    Only headers and footers are read. In a folder every ``.csv`` or ``.parquet`` file below it counts,
    apart from names with a leading dot or underscore, and every other file with the same columns; of a Delta
    table those that its log names. CSV may be separated by commas, semicolons, tabs or bars.
    ``AWS_ENDPOINT_URL`` names another object store than Amazon's. What a file is, its content and suffix say.

    Parameters
    ----------
    base
        Where relative paths start; by default the working directory.
    kind
        The files to take from a folder that holds both CSV and Parquet.

    Raises
    ------
    DataError
        The table does not exist, is empty, is neither CSV nor Parquet, has a duplicate column, or is a
        folder of several tables.
    ConfigError
        The object store denies access, or there are no credentials.
    Unavailable
        The object store does not respond.
    """
    found_files = table_files(uri, base=base, kind=kind)
    files = found_files.files
    types: dict[str, str] = {}
    heads: dict[str, CsvHead] = {}
    parquet_files = ParquetFiles()
    rows = about = 0
    having: Counter[str] = Counter()
    of_bytes: set[str] = set()
    columns: list[tuple[TableFile, list[str]]] = []
    for file in files:
        with _file_errors(file):
            if file.kind == "csv":
                head = heads[file.path] = found_files.heads.get(file.path) or read_csv_head(file)
                found = dict.fromkeys(head.names, TEXT)
                about += head.about_rows
            else:
                opened = parquet_files.open(file)
                found = {name: str(arrow_type) for name, arrow_type in opened.types.items()}
                of_bytes.update(name for name, arrow_type in opened.types.items() if is_bytes(arrow_type))
                rows += opened.rows
        columns.append((file, list(found)))
        having.update(list(found))
        for name, type_name in found.items():
            types.setdefault(name, type_name)
    require_one_table(columns)
    late = {name: len(files) - count for name, count in having.items() if count < len(files)}
    for file in files:
        types.update(dict.fromkeys(file.partitions, TEXT))
    return Table(
        *(uri, tuple(types), types, None if heads else rows, about + rows, tuple(files), heads, late),
        left_out=found_files.note,
        parquet_files=parquet_files,
        bytes_are_text=dict.fromkeys(of_bytes),
    )


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
