"""CSV a block at a time, all of it as text: what the text means is told from the whole column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from homeostat.adapters.table_location import Found
from homeostat.config.errors import DataError
from homeostat.core.profile.arrow_values import NOTHING

#: Bytes of text that are parsed at a time; no line may be longer.
BLOCK = 8 * 2**20
_HEAD = 2**16
_SEPARATORS = ",;\t|"
_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+): ?(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a CSV file: column names, what separates them, and rows to expect, about.

    ``about_rows`` is 0 when nothing follows it, and only then.
    """

    names: tuple[str, ...]
    separator: str
    lines: int
    about_rows: int


def csv_header(file: Found) -> Header:
    """Read the header line.

    Raises
    ------
    DataError
        The file is empty, no UTF-8 text, or names a column twice.
    """
    with file.stream() as stream:
        head = stream.read(_HEAD)
    if not head.strip():
        msg = f"{file.shown} is empty; the first line has to name the columns"
        raise DataError(msg)
    try:
        text = head.decode("utf-8-sig", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError as error:
        msg = f"{file.shown} is not UTF-8 text (byte {error.start}); save it as UTF-8, or as Parquet"
        raise DataError(msg) from None
    if "\0" in text:
        msg = f"{file.shown} is not text; expected CSV with a line of column names, or Parquet"
        raise DataError(msg)
    first = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first.count)
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter=separator)
    names = [name or f"Unnamed: {at}" for at, name in enumerate(next(reader))]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        msg = f"{file.shown}: column '{twice}' stands {names.count(twice)} times in the first line"
        raise DataError(msg)
    per_line = max(1.0, len(text) / max(1, text.count("\n")))
    size = file.size * (5 if file.path.endswith(".gz") else 1)
    alone = len(head) < _HEAD and not "".join(text.splitlines()[reader.line_num :]).strip()
    return Header(tuple(names), separator, reader.line_num, 0 if alone else max(1, int(size / per_line)))


def csv_batches(file: Found, header: Header, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns as text, in blocks; a column that the file does not have is left out.

    Raises
    ------
    DataError
        A line has more or fewer fields than the first one; it is named and shown.
    """
    from pyarrow import csv as arrow

    if not header.about_rows:
        return
    there = [name for name in columns if name in header.names]
    some = there or list(header.names[:1])  # to know the number of rows at least
    read = arrow.ReadOptions(
        use_threads=False, block_size=BLOCK, column_names=list(header.names), skip_rows=header.lines
    )
    parse = arrow.ParseOptions(delimiter=header.separator, newlines_in_values=True)
    convert = arrow.ConvertOptions(
        column_types=dict.fromkeys(header.names, pa.string()),
        include_columns=some,
        null_values=sorted(NOTHING),
        strings_can_be_null=True,
    )
    try:
        with file.stream() as stream, arrow.open_csv(stream, read, parse, convert) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        raise DataError(_sentence(file, str(error))) from error


def _sentence(file: Found, said: str) -> str:
    found = _ROW.search(said)
    if found:
        row, expected, got, text = found.groups()
        shown = text.strip()[:80] + ("..." if len(text.strip()) > 80 else "")
        return (
            f"{file.shown}, line {row}: {got} fields where the first line has {expected}: {shown!r}; "
            "mend or delete the line, or put the field that holds a separator in double quotes"
        )
    if "straddling" in said:
        return f"{file.shown}: a line is longer than {BLOCK // 2**20} MB; is a double quote left open?"
    if "UTF8" in said:
        return f"{file.shown} is not UTF-8 text; save it as UTF-8, or as Parquet"
    return f"{file.shown} cannot be read as csv: {said}"
