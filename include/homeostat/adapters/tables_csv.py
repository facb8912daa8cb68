"""Read CSV in blocks, all values as text: the kind of a column is inferred from all its values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError
from homeostat.core.profile.arrow_values import MISSING_TEXTS

#: Bytes parsed at a time; no line may be longer.
BLOCK = 8 * 2**20
_HEAD = 2**16
_SEPARATORS = ",;\t|"
_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+): ?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The header of a CSV file: column names, separator, its lines, and the approximate number of rows.

    ``about_rows`` is 0 only when no row follows the header.
    """

    names: tuple[str, ...]
    separator: str
    lines: int
    about_rows: int


def csv_header(file: TableFile) -> CsvHeader:
    """Read the header line.

    Raises
    ------
    DataError
        The file is empty, not UTF-8 text, or has a duplicate column.
    """
    with file.stream() as stream:
        head = stream.read(_HEAD)
    if not head.strip():
        msg = f"{file.display_name} is empty; the first line must name the columns"
        raise DataError(msg)
    try:
        text = head.decode("utf-8-sig", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError as error:
        msg = f"{file.display_name} is not UTF-8 text (byte {error.start}); save it as UTF-8, or as Parquet"
        raise DataError(msg) from None
    if "\0" in text:
        msg = f"{file.display_name} is not text; expected CSV with a line of column names, or Parquet"
        raise DataError(msg)
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter=separator)
    names = [name or f"Unnamed: {at}" for at, name in enumerate(next(reader))]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        times = names.count(twice)
        msg = f"{file.display_name}: duplicate column '{twice}' in the first line ({times} times); rename one"
        raise DataError(msg)
    per_line = max(1.0, len(text) / max(1, text.count("\n")))
    size = file.size * (5 if file.path.endswith(".gz") else 1)
    no_rows = len(head) < _HEAD and not "".join(text.splitlines()[reader.line_num :]).strip()
    return CsvHeader(tuple(names), separator, reader.line_num, 0 if no_rows else max(1, int(size / per_line)))


def csv_batches(file: TableFile, header: CsvHeader, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns as text, in blocks; a column that the file lacks is left out.

    Raises
    ------
    DataError
        A line has more or fewer fields than the first one; the message shows it.
    """
    from pyarrow import csv as arrow

    if not header.about_rows:
        return
    present = [name for name in columns if name in header.names]
    read = arrow.ReadOptions(
        use_threads=False, block_size=BLOCK, column_names=list(header.names), skip_rows=header.lines
    )
    parse = arrow.ParseOptions(delimiter=header.separator, newlines_in_values=True)
    convert = arrow.ConvertOptions(
        column_types=dict.fromkeys(header.names, pa.string()),
        include_columns=present or list(header.names[:1]),  # one column at least, for the number of rows
        null_values=sorted(MISSING_TEXTS),
        strings_can_be_null=True,
    )
    try:
        with file.stream() as stream, arrow.open_csv(stream, read, parse, convert) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise DataError(_error_message(file, str(error))) from error


def _error_message(file: TableFile, detail: str) -> str:
    found = _ROW.search(detail)
    if found:
        row, expected, got, text = found.groups()
        shown = text.strip()[:80] + ("..." if len(text.strip()) > 80 else "")
        return (
            f"{file.display_name}, line {row}: {got} fields where the first line has {expected}: {shown!r}; "
            "fix or delete the line, or put the field that holds a separator in double quotes"
        )
    if "straddling" in detail:
        return f"{file.display_name}: a line is longer than {BLOCK // 2**20} MB; is a double quote left open?"
    if "UTF8" in detail:
        return f"{file.display_name} is not UTF-8 text; save it as UTF-8, or as Parquet"
    return f"{file.display_name} cannot be read as csv: {detail}"
