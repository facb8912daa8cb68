"""Read CSV in blocks, all values as text: the kind of a column is inferred from all its values."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator

import pyarrow as pa

from homeostat.adapters.csv_head import MAX_LINE, CsvHead, not_utf8
from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError

#: Bytes parsed at a time.
BLOCK = MAX_LINE
#: Blocks are joined until they hold so many rows, or so many bytes.
_MIN_ROWS, _MAX_BYTES = 2048, 2**26
_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+): ?(.*)", re.DOTALL)
#: Of a larger file the exact line of a malformed row is not looked up again.
_LOOK_UP = 2**28


def csv_batches(file: TableFile, head: CsvHead, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns as text, in blocks; a column that the file lacks is left out.

    Only an empty cell is null: whether ``NA`` is a missing value depends on the column's kind. In a file
    whose texts are in double quotes, as R writes it, a bare ``NA`` is null and a quoted one is text.

    Raises
    ------
    DataError
        A line has more or fewer fields than the first one; the message shows it.
    """
    from pyarrow import csv as arrow

    if not head.about_rows:
        return
    names = set(head.names)
    present = [name for name in columns if name in names]
    read = arrow.ReadOptions(
        use_threads=False,
        block_size=BLOCK,
        column_names=list(head.names),
        skip_rows=head.lines,
        encoding=head.encoding,
    )
    parse = arrow.ParseOptions(delimiter=head.separator, newlines_in_values=True)
    convert = arrow.ConvertOptions(
        column_types=dict.fromkeys(head.names, pa.string()),
        include_columns=present or list(head.names[:1]),  # one column at least, for the number of rows
        null_values=["", "NA"] if head.quotes_text else [""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=not head.quotes_text,
    )
    try:
        with file.stream() as stream, arrow.open_csv(stream, read, parse, convert) as reader:
            yield from _longer(reader)
    except pa.ArrowInvalid as error:
        raise DataError(_error_message(file, head, str(error))) from error


def _longer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join short batches: of a wide file a block holds few rows, and each batch costs time per column."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _MIN_ROWS or size >= _MAX_BYTES:
            yield pa.concat_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_batches(held)


def _error_message(file: TableFile, head: CsvHead, detail: str) -> str:
    found = _ROW.search(detail)
    if found:
        row, expected, got, text = found.groups()
        shown = text.strip()[:80] + ("..." if len(text.strip()) > 80 else "")
        line = _line(file, head, int(expected)) or row
        return (
            f"{file.display_name}, line {line}: {got} fields where the line of column names has {expected} "
            f"(separator {head.separator!r}): {shown!r}; fix or delete the line, or put the field that holds "
            "a separator in double quotes"
        )
    if "straddling" in detail:
        return f"{file.display_name}: a line is longer than {BLOCK // 2**20} MB; is a double quote left open?"
    if "UTF8" in detail:
        return _bad_byte(file) or f"{file.display_name} is not UTF-8 text; save it as UTF-8, or as Parquet"
    return f"{file.display_name} cannot be read as csv: {detail}"


def _line(file: TableFile, head: CsvHead, fields: int) -> int | None:
    """Return the line of the first row with another number of fields: Arrow's row skips blank lines."""
    if file.size > _LOOK_UP:
        return None
    with file.stream() as stream:
        lines = io.TextIOWrapper(
            io.BufferedReader(stream), encoding=head.encoding, errors="replace", newline=""
        )
        for _ in range(head.lines):
            lines.readline()
        reader = csv.reader(lines, delimiter=head.separator)
        try:
            before = 0
            for record in reader:
                if record and len(record) != fields:
                    return head.lines + before + 1
                before = reader.line_num
        except csv.Error:
            return None
    return None


def _bad_byte(file: TableFile) -> str:
    """Return the error that names the first byte that is not UTF-8; empty when every byte is."""
    read = lines = 0
    with file.stream() as stream:
        for block in io.BufferedReader(stream):
            try:
                block.decode("utf-8")
            except UnicodeDecodeError as error:
                return not_utf8(file, block, error.start, before=(read, lines))
            read, lines = read + len(block), lines + 1
    return ""
