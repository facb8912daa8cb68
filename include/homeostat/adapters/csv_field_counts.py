"""Say why rows have another number of fields than there are column names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from homeostat.adapters.csv_blanks import BLANK
from homeostat.adapters.csv_head import CsvHead

#: Rows that are counted.
COUNTED = 10_000
#: Fewer malformed rows among them are single lines, each with a fault of its own.
_FEW = 0.01
_DIGITS = re.compile(r"\s*[+-]?\d+\s*")
_DECIMALS = re.compile(r"\s*\d+\s*%?")

Rows = Sequence[Sequence[str]]


def explain_counts(rows: Rows, head: CsvHead, others: Iterable[tuple[str, Rows]]) -> str:
    """Return how many rows have which number of fields, and the likely cause; empty for single lines.

    Parameters
    ----------
    rows
        The first rows as they are read, at most :data:`COUNTED`.
    head
        The head of the file.
    others
        The same rows as they are read by other rules, each with the cause if that gives all of them as many
        fields as there are names.
    """
    names = head.names
    wrong = [row for row in rows if len(row) != len(names)]
    if len(wrong) < 2 or len(wrong) < _FEW * len(rows):
        return ""
    width, count = Counter(map(len, wrong)).most_common(1)[0]
    usual = [row for row in wrong if len(row) == width]
    first = f"of the first {len(rows):,} rows" if len(rows) == COUNTED else f"of {len(rows):,} rows"
    how_many = "all rows have" if count == len(rows) < COUNTED else f"{count:,} {first} have"
    fields = "field" if width == 1 else "fields"
    return f"{how_many} {width} {fields}, the names {len(names)}; " + (
        next((cause for cause, read in others if all(len(row) == len(names) for row in read)), "")
        or _cause(usual, head, everywhere=len(wrong) == len(rows))
    )


def _cause(wrong: Rows, head: CsvHead, *, everywhere: bool) -> str:
    more = len(wrong[0]) - len(head.names)
    if more == 1 and not any(row[-1].strip() for row in wrong):
        return "these rows end with a separator, the names do not: end the line of names with one, too"
    example = _decimal_comma(wrong, more) if head.separator == "," else ""
    decimals = (
        f"are decimal commas meant, as in {example}? Then put such numbers in double quotes, or separate the "
        "fields by semicolons"
    )
    unnamed = everywhere and more == 1 and (not example or _counts_up(wrong))
    if example and not unnamed:
        return decimals
    cause = _cause_in_names(wrong, head, more) if everywhere else _cause_in_rows(head, more)
    return f"{cause}; or {decimals}" if example else cause


def _cause_in_names(rows: Rows, head: CsvHead, more: int) -> str:
    """Return the cause where all rows have as many fields, ``more`` than there are names."""
    title = f"is line {head.lines} a title or a comment, not the column names? Then delete it"
    if more == 1 and len(head.names) == 1:
        return f"{_in_quotes(head)}; or {title}"
    if more == 1:
        unnamed = (
            "has the first column no name, as R's row names? Then name it, or write the file with "
            "row.names = FALSE or col.names = NA"
        )
        return unnamed if _counts_up(rows) else f"{unnamed}; or {title}"
    if more > 0:
        return title
    if more == -1 and head.names[-1].startswith("Unnamed: "):
        return "the line of names ends with a separator, the rows do not: remove it there"
    return "put each name that holds a separator in double quotes, or delete names without a column"


def _cause_in_rows(head: CsvHead, more: int) -> str:
    """Return the cause where some rows have ``more`` fields than there are names."""
    if head.separator == BLANK:
        return "put each text that holds a blank in double quotes, and write NA for a missing value"
    if more > 0:
        return _in_quotes(head)
    return "write a separator for each missing value, too"


def _in_quotes(head: CsvHead) -> str:
    return f"put each text that holds the separator {head.separator!r} in double quotes"


def _decimal_comma(rows: Rows, more: int) -> str:
    """Return a number with a decimal comma, where all rows may be split at so many; else an empty text."""
    split = [
        at
        for at in range(len(rows[0]) - 1)
        if all(_DIGITS.fullmatch(row[at]) and _DECIMALS.fullmatch(row[at + 1]) for row in rows)
    ]
    if not 0 < more <= len(split):
        return ""
    at = max(split, key=lambda at: len(rows[0][at + 1].strip()))  # 1,2,50: a fraction has the most digits
    return f"{rows[0][at].strip()},{rows[0][at + 1].strip()}"


def _counts_up(rows: Rows) -> bool:
    """Return whether the first column numbers the rows."""
    return all(row[0] == str(at + 1) for at, row in enumerate(rows))
