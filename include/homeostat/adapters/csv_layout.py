"""Find the separator and the line of column names in the head of a CSV file."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from homeostat.adapters.column_names import ascend, is_date, is_value, looks_like_row
from homeostat.adapters.csv_blanks import BLANK, squeeze

#: Of two separators that fit equally well, the comma is the less likely: text and decimals hold commas.
_SEPARATORS = "\t;|,"
#: Tried where none of them splits the column names; \x01 is Hive's.
_RARE_SEPARATORS = "\x01\x1f^~"
_ROWS = 200  # rows of the head that decide
_PREAMBLE = 30  # lines before the column names, at most
_COMMENT = ("#", "%", "//", "--", "!")
_NEARLY_ALL = 0.95  # of the rows; others are malformed
_MANY = 20  # rows with the same number of words are no sentences
_DIRECTIVE = re.compile(r"sep=(.)[ \t]*(?:\r\n|\r|\n|$)", re.IGNORECASE)
#: A line that is one number with a decimal comma, as in a file of one column.
_DECIMAL_COMMA = re.compile(r"^[ \t]*[+-]?[0-9]+,[0-9]+[ \t]*$", re.MULTILINE)
_NEWLINE = re.compile(r"\r\n|\r|\n")
_TIME = re.compile(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Column names, separator, lines up to the end of the names, and the rows of the head.

    ``titled``: other lines stand before the names. Of two separators, one without such lines is more likely.
    """

    names: list[str]
    separator: str
    lines: int
    rows: list[list[str]]
    titled: bool = False

    @property
    def same(self) -> float:
        """Share of the rows with as many fields as there are names."""
        return sum(len(row) == len(self.names) for row in self.rows) / len(self.rows) if self.rows else 0.0

    @property
    def useful(self) -> bool:
        """Whether the separator is in names and rows; one that is in no row belongs to the only name."""
        in_rows = self.separator == "," or not self.rows or any(len(row) > 1 for row in self.rows)
        return len(self.names) > 1 and in_rows


def find_layout(text: str, *, whole: bool, blanks: bool) -> Layout | None:
    """Return the layout of a file that begins with this text; None when the column names go on after it.

    Parameters
    ----------
    whole
        The text is the whole file.
    blanks
        Blanks may separate the fields.
    """
    named = _DIRECTIVE.match(text)
    before = 1 if named else 0
    text = text[named.end() :] if named else text
    best = _best(text, named[1] if named else _SEPARATORS, whole=whole)
    if best is None:
        return None
    doubtful = best.separator == "," and best.rows and not best.same
    if not named and (doubtful or not best.useful):
        best = _rare(text, whole=whole, blanks=blanks) or _one_column(text, best)
    names = [name or f"Unnamed: {at}" for at, name in enumerate(best.names)]
    return Layout(names, best.separator, before + best.lines, best.rows)


def _best(text: str, separators: str, *, whole: bool) -> Layout | None:
    best: tuple[tuple[float, bool, bool, int], Layout] | None = None
    for separator in separators:
        found = _layout(text, separator, whole=whole)
        if found is None:
            continue
        size = len(found.names) if found.useful else -len(found.names)
        certain = found.useful and bool(found.rows) and separator != ","
        fit = (found.same if found.useful else -1.0, not found.titled, certain, size)
        if best is None or fit > best[0]:
            best = fit, found
    return best[1] if best else None


def _rare(text: str, *, whole: bool, blanks: bool) -> Layout | None:
    """Return the layout by a rare separator that splits names and nearly all rows alike."""
    for separator in _RARE_SEPARATORS:
        found = _layout(text, separator, whole=whole)
        if found and found.useful and found.rows and found.same >= _NEARLY_ALL:
            return found
    found = _layout(text, BLANK, whole=whole) if blanks else None
    return found if found and _separated_by_blanks(found, text) else None


def _separated_by_blanks(found: Layout, text: str) -> bool:
    """Return whether blanks separate fields, and not the words of a file's only column."""
    names, rows = found.names, found.rows
    header = _NEWLINE.split(text)[found.lines - 1].strip()
    if len(names) > 1 and re.fullmatch(r'(?:"[^"]*"[ \t]+)+"[^"]*"', header):
        return True  # each name has its quotes
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    usual = [row for row in rows if len(row) == width]
    if len(usual) < max(2, _NEARLY_ALL * len(rows)) or len(names) < 2 or looks_like_row(names):
        return False
    rows = usual
    numbers = [at for at in range(width) if all(is_value(row[at]) and not is_date(row[at]) for row in rows)]
    if width == len(names) + 1:  # row names have no name
        return [row[0] for row in rows] == [str(at + 1) for at in range(len(rows))]
    if width != len(names):
        return False
    if width == 2:
        grouped = all(re.fullmatch(r"\d{3}", row[1]) for row in rows)  # 1 234 is one number
        return all(is_value(cell) for row in rows for cell in row) and not grouped
    times = any(_TIME.fullmatch(cell) or is_date(cell) for cell in rows[0])
    many = len(rows) >= _MANY and (bool(numbers) or not times)
    return 2 * len(numbers) >= width or many


def _one_column(text: str, found: Layout) -> Layout:
    """Return the layout of a file of one column, with a separator that is in none of its decimals."""
    if len(found.names) > 1:
        return found
    ends = list(_NEWLINE.finditer(text))
    rest = text[ends[found.lines - 1].end() :] if len(ends) >= found.lines else ""
    decimal_commas = _DECIMAL_COMMA.search(rest) and "," not in _DECIMAL_COMMA.sub("", rest)
    separator = ";" if decimal_commas else ","
    return Layout(found.names, separator, found.lines, found.rows)


def _layout(text: str, separator: str, *, whole: bool) -> Layout | None:
    """Return the layout with this separator; None when the column names are incomplete."""
    if separator == BLANK:
        text = squeeze(text.encode()).decode()
    records = _records(text, separator, whole=whole)
    if not records:
        return None
    at = _names_at([record for record, _ in records])
    rows = [record for record, _ in records[at + 1 :]]
    return Layout(_unmarked(records[at][0], rows), separator, records[at][1], rows, titled=at > 0)


def _records(text: str, separator: str, *, whole: bool) -> list[tuple[list[str], int]]:
    """Return the first records that are not blank, with the line on which each ends."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    records: list[tuple[list[str], int]] = []
    try:
        for record in reader:
            if record and (records or any(field.strip() for field in record)):
                records.append((record, reader.line_num))
            if len(records) > _ROWS + _PREAMBLE:
                break
    except csv.Error:  # a field is longer than the csv module allows: what was read before it counts
        whole = False
    if whole and len(records) == 1 and text.count('"') % 2 and _NEWLINE.search(records[0][0][-1]):
        return []  # an open quote has swallowed the rows
    if len(records) <= _ROWS + _PREAMBLE and not whole:
        records = records[:-1]  # the last one may go on
    return records


def _names_at(records: Sequence[list[str]]) -> int:
    """Return which record has the column names: the first one, unless it is plainly a comment or a title.

    It is one when it begins with a comment's mark, is padded with separators, has a date, or has not as many
    fields as the table; and when another record after it has names above columns of numbers or of values
    that repeat.
    """
    for at in range(1, min(_PREAMBLE + 1, len(records) - 1)):
        before, rows = records[:at], records[at + 1 :]
        width = Counter(map(len, rows)).most_common(1)[0][0]
        if width < 2 or not _before_names(before[-1], width):
            return 0
        names = _unmarked(records[at], rows)
        if len(names) != width:
            continue
        usual = [row for row in rows if len(row) == width]
        unlike = all(len(each) != width for each in before)  # then the first record has no names
        if _may_be_names(names, usual, years=unlike) and (
            (unlike and all(each[0].startswith(_COMMENT) for each in before)) or _are_names(names, usual)
        ):
            return at
    return 0


def _may_be_names(names: Sequence[str], rows: Sequence[Sequence[str]], *, years: bool) -> bool:
    """Return whether all are different texts; years may be among them, and no name above an empty column."""
    while not names[-1].strip() and not any(row[len(names) - 1].strip() for row in rows):
        names = names[:-1]
    values = [name for name in names if is_value(name)]
    if values and not (years and ascend(values) and len(values) < len(names)):
        return False
    return all(map(str.strip, names)) and len(set(names)) == len(names) > 1


def _unmarked(names: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the column names without a comment's mark that stands alone, as in NumPy's ``# x y``."""
    return names[1:] if names[0] in _COMMENT and rows and len(rows[0]) == len(names) - 1 else names


def _before_names(record: Sequence[str], width: int) -> bool:
    """Return whether a record may come before the column names of a table of this width."""
    filled = [cell for cell in record if cell.strip()]
    padded = 2 * len(filled) <= width and not any(map(str.strip, record[len(filled) :]))
    return padded or len(record) != width or record[0].startswith(_COMMENT) or any(map(is_date, record))


def _are_names(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a record is no row: it stands above numbers, or above values that repeat."""
    repeated = False
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        cells = [cell for cell in column if cell.strip()]
        if not is_value(name) and cells and sum(map(is_value, cells)) > 0.9 * len(cells):
            return True
        if name in cells:
            return False
        repeated = repeated or (len(cells) >= 6 and 2 * len(set(cells)) <= len(cells))
    sentence = any(name.startswith(" ") for name in names)  # a comma of a text has a blank after it
    return repeated and not sentence
