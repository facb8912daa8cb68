"""Tell column names from a row of values, and require that the files of a folder are one table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError

_VALUE = re.compile(
    r"\s*(?:[-+−]?\s?[$€£]?\s?(?:\d[\d.,' _]*|[.,]\d+)(?:[eE][-+]?\d+)?\s?%?"
    r"|(?:NaN|NA|null|true|false))\s*",
    re.IGNORECASE,
)
_DATE = re.compile(r"\s*\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_ROW_HINT = "does the file begin with a row instead? Then write the column names into its first line"


def is_value(text: str) -> bool:
    """Return whether a cell is a number, a date, a boolean or a word for "missing": unlikely as a name."""
    return _VALUE.fullmatch(text) is not None or is_date(text)


def is_date(text: str) -> bool:
    """Return whether a cell is a date in digits."""
    return _DATE.fullmatch(text) is not None


def looks_like_row(names: Sequence[str]) -> bool:
    """Return whether at least half of these names are values, apart from ascending ones (1990, 1991, ...)."""
    values = [name for name in names if is_value(name)]
    return 2 * len(values) >= max(1, len(names)) and not ascend(values)


def ascend(names: Sequence[str]) -> bool:
    """Return whether these are whole numbers or days in ascending order, as column names may be."""
    days = [name for name in names if _DAY.fullmatch(name)]
    if days:
        return len(days) == len(names) and all(a < b for a, b in pairwise(days))
    numbers = [int(name) for name in names if name.strip().isdecimal()]
    return len(numbers) == len(names) and all(a < b for a, b in pairwise(numbers))


def row_hint(names: Sequence[str]) -> str:
    """Return what to do, as an end of a sentence, where names look like a row; else an empty text."""
    return f"; {_ROW_HINT}" if looks_like_row(names) else ""


def require_distinct(names: Sequence[str], file: TableFile) -> None:
    """Raise DataError for a name that occurs twice."""
    if len(set(names)) == len(names):
        return
    twice = next(name for name in names if names.count(name) > 1)
    msg = (
        f"{file.display_name}: duplicate column '{twice}' in the line of column names "
        f"({names.count(twice)} times); rename one"
    )
    raise DataError(msg + row_hint(names).replace("; does", ", or does"))


def require_one_table(files: Iterable[tuple[TableFile, Sequence[str]]]) -> None:
    """Raise DataError for a file of a folder that shares no column with those before it.

    The rows of such a file would be missing in every column of the others. Later parts of a file that was
    split have a row where the first one has the column names.
    """
    first: tuple[TableFile, Sequence[str]] | None = None
    known: set[str] = set()
    for file, names in files:
        if first is None:
            first = file, names
        elif names and known and (known.isdisjoint(names) or _is_row_of(first[1], names)):
            raise DataError(_other_table(first, (file, names)))
        known.update(names)


def _is_row_of(first: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether both are rows of one table that share some values."""
    others = [name for name in names if name not in first]
    values = [name for name in first if is_value(name)]
    return (
        bool(others)
        and len(first) == len(names)
        and all(map(is_value, others))
        and not (ascend(values) and ascend(others))
    )


def _other_table(first: tuple[TableFile, Sequence[str]], second: tuple[TableFile, Sequence[str]]) -> str:
    (good, names), (file, others) = first, second
    if file.kind == "csv" and looks_like_row(names) and not looks_like_row(others):
        (good, names), (file, others) = second, first
    unknown = [name for name in others if name not in names]
    shown = ", ".join(map(repr, unknown[:4])) + (", ..." if len(unknown) > 4 else "")
    begin = f"{file.display_name}: its column names, {shown}, are none of {good.display_name}"
    other_table = "if it is another table, move it out of the folder"
    if file.kind != "csv":
        return f"{begin}; {other_table}"
    if looks_like_row(names):
        return (
            f"{begin}; do the files begin with rows? Then write the column names into the first line of each"
        )
    return f"{begin}; {_ROW_HINT}; {other_table}"
