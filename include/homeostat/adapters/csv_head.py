"""Read the head of a CSV file: its encoding, separator and column names."""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass

from homeostat.adapters.column_names import require_distinct
from homeostat.adapters.file_formats import OtherFormat, binary_format, text_format
from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError

#: Bytes of the head that decide; more are read only while the line of column names goes on.
HEAD = 2**16
#: No line may be longer.
MAX_LINE = 8 * 2**20
#: Of two separators that fit equally well, the comma is the less likely: text and decimals hold commas.
_SEPARATORS = "\t;|,"
_ROWS = 200  # rows of the head that decide on the separator
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DIRECTIVE = re.compile(r"sep=(.)[ \t]*(?:\r\n|\r|\n|$)", re.IGNORECASE)
#: A line that is one number with a decimal comma, as in a file of one column.
_DECIMAL_COMMA = re.compile(r"^[ \t]*[+-]?[0-9]+,[0-9]+[ \t]*$", re.MULTILINE)
_NEWLINE = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class CsvHead:
    """The head of a CSV file.

    ``lines`` is the number of lines up to the end of the column names; ``encoding`` is a name of Python's;
    ``about_rows`` is the approximate number of rows, 0 only when no row follows the column names.
    ``quotes_text``: column names and texts are in double quotes, so a bare ``NA`` is no text.
    """

    names: tuple[str, ...]
    separator: str
    lines: int
    about_rows: int
    encoding: str = "utf-8"
    quotes_text: bool = False


def read_csv_head(file: TableFile) -> CsvHead:
    """Read the head of a file.

    The encoding is UTF-8, or the one that a byte order mark names, or UTF-16 without one. Blank lines at the
    beginning are skipped. The separator is the one of comma, semicolon, tab and bar that splits the column
    names and the rows of the head into equally many fields, quotes considered; a first line ``sep=;``
    names it.

    Raises
    ------
    DataError
        The file is empty, not text in one of these encodings, or has a duplicate column.
    """
    with file.stream() as raw:
        stream, head, size = io.BufferedReader(raw), b"", HEAD
        while True:
            head += stream.read(size - len(head))
            whole = len(head) < size
            text, encoding = _decode(head, file, whole=whole)
            found = _parse(text, whole=whole) if text.strip() else None
            if found or whole or size > MAX_LINE:
                break
            size *= 2
    if found is None:
        raise DataError(_no_names(file, text, whole=whole))
    names, separator, lines = found
    require_distinct(names, file)
    about_rows = _about_rows(file, text, lines, len(head), whole=whole)
    return CsvHead(
        tuple(names), separator, lines, about_rows, encoding, _quotes_text(text, names, separator, lines)
    )


def _quotes_text(text: str, names: list[str], separator: str, lines: int) -> bool:
    """Return whether all column names are in double quotes, and any field of the rows after them."""
    parts = text.splitlines(keepends=True)
    head, rows = "".join(parts[:lines]), "".join(parts[lines:])
    quoted = separator.join('"' + name.replace('"', '""') + '"' for name in names)
    return head.strip().endswith(quoted) and '"' in rows


def _decode(head: bytes, file: TableFile, *, whole: bool) -> tuple[str, str]:
    """Return the head as text, without a byte order mark, and its encoding."""
    _refuse(file, binary_format(head))
    encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "") or _without_mark(head)
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(head, final=whole).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if b"\0" not in head and encoding == "utf-8":
            raise DataError(not_utf8(file, head, error.start)) from None
        text = "\0"
    if "\0" in text:
        msg = (
            f"{file.display_name} is not text in UTF-8, UTF-16 or UTF-32; expected CSV with a line of column "
            "names, or Parquet"
        )
        raise DataError(msg)
    _refuse(file, text_format(text))
    return text, encoding


def _refuse(file: TableFile, found: OtherFormat | None) -> None:
    if found:
        msg = f"{file.display_name} {found}"
        raise DataError(msg)


def _without_mark(head: bytes) -> str:
    """Return UTF-16 where every second byte is nearly always zero, as in Latin text; else UTF-8."""
    pairs = max(1, len(head) // 2)
    even, odd = head[0::2].count(0) / pairs, head[1::2].count(0) / pairs
    if odd > 0.7 and even < 0.1:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 and odd < 0.1 else "utf-8"


def not_utf8(file: TableFile, content: bytes, at: int, *, before: tuple[int, int] = (0, 0)) -> str:
    """Return the error on the byte at this position; ``before`` counts bytes and lines before these."""
    byte = content[at : at + 1]
    line = before[1] + len(re.findall(rb"\r\n|\r|\n", content[:at])) + 1
    letter = byte.decode("cp1252", "replace")
    return (
        f"{file.display_name} is not UTF-8 text (byte {before[0] + at}, in line {line}: 0x{byte.hex()}, "
        f"which is {letter!r} in Latin-1 and Windows-1252); UTF-8 and UTF-16 were tried. Save it as UTF-8, "
        "for example with 'iconv -f WINDOWS-1252 -t UTF-8', or as Parquet"
    )


def _parse(text: str, *, whole: bool) -> tuple[list[str], str, int] | None:
    """Return names, separator and lines of the head; None when the column names go on after it."""
    named = _DIRECTIVE.match(text)
    separators = named[1] if named else _SEPARATORS
    start = named.end() if named else 0
    before = 1 if named else 0
    best: tuple[tuple[float, bool, int], list[str], str, int] | None = None
    for separator in separators:
        found = _records(text[start:], separator, whole=whole)
        if found is None:
            continue
        names, lines, rows = found
        same = sum(len(row) == len(names) for row in rows) / len(rows) if rows else 0.0
        # A bar or semicolon that is in no row belongs to the name of the only column.
        useful = len(names) > 1 and (separator == "," or not rows or any(len(row) > 1 for row in rows))
        size = len(names) if useful else -len(names)
        fit = (same if useful else -1.0, useful and bool(rows) and separator != ",", size)
        if best is None or fit > best[0]:
            best = (fit, names, separator, before + lines)
    if best is None:
        return None
    _, names, separator, lines = best
    if len(names) == 1 and not named:
        rest = "".join(text[start:].splitlines(keepends=True)[lines - before :])
        separator = ";" if _DECIMAL_COMMA.search(rest) and "," not in _DECIMAL_COMMA.sub("", rest) else ","
    return [name or f"Unnamed: {at}" for at, name in enumerate(names)], separator, lines


def _records(text: str, separator: str, *, whole: bool) -> tuple[list[str], int, list[list[str]]] | None:
    """Return column names, the lines up to their end, and rows; None when the names are incomplete."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    records: list[list[str]] = []
    lines = 0
    try:
        for record in reader:
            if not records:
                if not any(field.strip() for field in record):
                    continue  # a blank line before the column names
                lines = reader.line_num
            if record:
                records.append(record)
            if len(records) > _ROWS:
                break
    except csv.Error:  # a field is longer than the csv module allows: what was read before it counts
        whole = False
    if whole and len(records) == 1 and text.count('"') % 2 and _NEWLINE.search(records[0][-1]):
        return None  # an open quote has swallowed the rows
    if len(records) <= _ROWS and not whole:
        records = records[:-1]  # the last one may go on
    return (records[0], lines, records[1:]) if records else None


def _no_names(file: TableFile, text: str, *, whole: bool) -> str:
    if whole and not text.strip('\r\n \t;|,"'):
        return f"{file.display_name} is empty; the first line must name the columns"
    return (
        f"{file.display_name}: the line of column names has no end; is a double quote left open? "
        f"(A line has at most {MAX_LINE // 2**20} MB.)"
    )


def _about_rows(file: TableFile, text: str, lines: int, head_bytes: int, *, whole: bool) -> int:
    found = list(_NEWLINE.finditer(text))
    rest = text[found[lines - 1].end() :] if len(found) >= lines else ""
    if whole:
        return len(_NEWLINE.findall(rest.rstrip("\r\n"))) + 1 if rest.strip() else 0
    per_line = max(1.0, head_bytes / max(1, len(found)))
    size = file.size * (5 if file.packed else 1)
    return max(1, int(size / per_line))
