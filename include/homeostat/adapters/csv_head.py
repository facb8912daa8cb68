"""Read the head of a CSV file: its encoding, separator and column names."""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import Any

from homeostat.adapters.column_names import require_distinct
from homeostat.adapters.csv_blanks import BLANK, MAX_LINE, SqueezedStream
from homeostat.adapters.csv_layout import Layout, find_layout
from homeostat.adapters.file_formats import OtherFormat, binary_format, text_format
from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError

#: Bytes of the head that decide; more are read only while the line of column names goes on.
HEAD = 2**16
_LOOK_UP = 2**28
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
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

    def stream(self, file: TableFile) -> Any:
        """Open the file with one separator between fields, also where they are aligned by blanks."""
        stream = file.stream()
        return SqueezedStream(stream) if self.separator == BLANK and self.encoding == "utf-8" else stream


def read_csv_head(file: TableFile) -> CsvHead:
    """Read the head of a file.

    The encoding is UTF-8, or the one that a byte order mark names, or UTF-16 without one. Blank lines at the
    beginning are skipped, and so are comments and titles above the column names. The separator is the one of
    comma, semicolon, tab and bar that splits the column names and the rows of the head into equally many
    fields, quotes considered; a first line ``sep=;`` names it. Where none does, rarer ones and blanks may.

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
            found = find_layout(text, whole=whole, blanks=encoding == "utf-8") if text.strip() else None
            if found or whole or size > MAX_LINE:
                break
            size *= 2
    if found is None:
        raise DataError(_no_names(file, text, whole=whole))
    require_distinct(found.names, file)
    about_rows = _about_rows(file, text, found.lines, len(head), whole=whole)
    quotes_text = _quotes_text(text, found)
    return CsvHead(tuple(found.names), found.separator, found.lines, about_rows, encoding, quotes_text)


def _quotes_text(text: str, found: Layout) -> bool:
    """Return whether all column names are in double quotes, and any field of the rows after them."""
    parts = text.splitlines(keepends=True)
    head, rows = "".join(parts[: found.lines]), "".join(parts[found.lines :])
    quoted = found.separator.join('"' + name.replace('"', '""') + '"' for name in found.names)
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
    begin = (
        f"{file.display_name} is not UTF-8 text (byte {before[0] + at}, in line {line}: 0x{byte.hex()}, "
        f"which is {letter!r} in Latin-1 and Windows-1252); "
    )
    other = _utf8_line(file)
    if other:
        return (
            f"{begin}line {other} is UTF-8: the file has two encodings, or is damaged. Converting all of it "
            "would garble the rest; convert each part to UTF-8 before you join them"
        )
    return (
        f"{begin}UTF-8 and UTF-16 were tried. Save it as UTF-8, for example with "
        "'iconv -f WINDOWS-1252 -t UTF-8', or as Parquet"
    )


def _utf8_line(file: TableFile) -> int:
    """Return the first line with letters beyond ASCII that is UTF-8; 0 for none in the first 256 MB."""
    left = _LOOK_UP
    with file.stream() as stream:
        for number, line in enumerate(io.BufferedReader(stream), 1):
            left -= len(line)
            if left < 0:
                break
            if not line.isascii() and _is_utf8(line):
                return number
    return 0


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


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
