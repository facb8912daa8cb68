"""Say where a CSV file is malformed: the line, the byte, the quote."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from homeostat.adapters.csv_blanks import MAX_LINE
from homeostat.adapters.csv_field_counts import COUNTED, explain_counts
from homeostat.adapters.csv_head import CsvHead, not_utf8
from homeostat.adapters.table_location import TableFile

_ROW = re.compile(r"CSV parse error: Row #(\d+): Expected (\d+) columns, got (\d+): ?(.*)", re.DOTALL)
#: Bytes in which escaped characters are looked for.
_HEAD = 2**22
#: Of a larger file the exact line of a malformed row is not looked up again.
_LOOK_UP = 2**28


def malformed(file: TableFile, head: CsvHead, detail: str) -> str:
    """Return the error on a file that Arrow cannot parse; ``detail`` is Arrow's message."""
    found = _ROW.search(detail)
    if found:
        row, expected, got, text = found.groups()
        shown = text.strip()[:80] + ("..." if len(text.strip()) > 80 else "")
        line = _line(file, head, int(expected)) or row
        begin = (
            f"{file.display_name}, line {line}: {got} fields where the line of column names has {expected} "
        )
        counted = _explain_counts(file, head)
        return f"{begin}(separator {head.separator!r}): {shown!r}; " + (
            counted or "fix or delete the line, or put the field that holds a separator in double quotes"
        )
    if "straddling" in detail:
        return (
            f"{file.display_name}: a line is longer than {MAX_LINE // 2**20} MB; is a double quote left open?"
        )
    if "UTF8" in detail:
        return _bad_byte(file) or f"{file.display_name} is not UTF-8 text; save it as UTF-8, or as Parquet"
    return f"{file.display_name} cannot be read as csv: {detail}"


def open_quote(file: TableFile, head: CsvHead) -> str:
    """Return the error on a double quote that is not closed until the end of the file; empty for none."""
    before = head.lines
    try:
        for line, _ in _records(file, head, strict=True):
            before = line
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            return (
                f"{file.display_name}, line {before + 1}: a double quote is open until the end of the file; "
                "close it, or write two for one that belongs to the text"
            )
    return ""


def _explain_counts(file: TableFile, head: CsvHead) -> str:
    """Return why many rows have another number of fields than there are names; empty where few have."""
    quoting: dict[str, dict[str, Any]] = {
        _backslashes(file, head): {"escapechar": "\\"},
        "are texts in single quotes? Then put them into double quotes": {"quotechar": "'"},
        "is a blank between separator and double quotes? Then remove it": {"skipinitialspace": True},
    }
    try:
        rows = _first_rows(file, head)
        others = ((cause, _first_rows(file, head, **rules)) for cause, rules in quoting.items())
        return explain_counts(rows, head, others)
    except csv.Error:
        return ""


def _backslashes(file: TableFile, head: CsvHead) -> str:
    """Return the cause where all rows fit once a backslash takes the meaning from what follows it."""
    with head.stream(file) as stream:
        text = stream.read(_HEAD).decode(head.encoding, "replace")
    separator = "tabs" if head.separator == "\t" else f"separators ({head.separator})"
    kinds = {"double quotes": '\\"', separator: "\\" + head.separator, "line breaks": "\\\n"}
    text = text.replace("\r\n", "\n")
    found = [name for name, written in kinds.items() if written in text]
    if found in ([], ["double quotes"]):
        return 'are double quotes in a text written as \\"? Then write them as ""'
    doubled = ", and double quotes in it as two" if "double quotes" in found else ""
    return (
        f"are {' and '.join(found)} in a text written with a backslash before them, as MySQL and Hive do "
        f"(ESCAPED BY '\\')? Then write the text in double quotes without backslashes{doubled}"
    )


def _first_rows(file: TableFile, head: CsvHead, **rules: Any) -> list[list[str]]:
    records = (record for _, record in _records(file, head, **rules) if record)
    return list(islice(records, COUNTED))


def _line(file: TableFile, head: CsvHead, fields: int) -> int | None:
    """Return the line of the first row with another number of fields: Arrow's row skips blank lines."""
    if file.size > _LOOK_UP:
        return None
    before = head.lines
    try:
        for line, record in _records(file, head):
            if record and len(record) != fields:
                return before + 1
            before = line
    except csv.Error:
        pass
    return None


def _records(file: TableFile, head: CsvHead, **rules: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each row with the line on which it ends; ``rules`` are those of :func:`csv.reader`."""
    with head.stream(file) as stream:
        lines = io.TextIOWrapper(
            io.BufferedReader(stream), encoding=head.encoding, errors="replace", newline=""
        )
        for _ in range(head.lines):
            lines.readline()
        reader = csv.reader(lines, delimiter=head.separator, **rules)
        for record in reader:
            yield head.lines + reader.line_num, record


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
