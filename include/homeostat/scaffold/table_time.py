"""Find the column that says when each row was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from homeostat.config.errors import ConfigError, DataError
from homeostat.config.near_name import near_name
from homeostat.core.values.time_numbers import guess_time_numbers
from homeostat.scaffold.table_scan import ScannedColumn

_TIME_NAME = re.compile(
    r"(?:.*[\W_])?(?:time|timestamp|ts|date|datetime|day|at|when)(?:[\W_].*)?", re.IGNORECASE
)
_BEST_TIME_NAMES = ("timestamp", "datetime", "time", "event_time", "date", "ts")


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The column of times, its format where the values do not say it, and why it was taken."""

    name: str = ""
    date_format: str = ""
    note: str = ""


def require_column(
    option: str, name: str, columns: Mapping[str, ScannedColumn] | list[str], data: str
) -> None:
    """Raise ConfigError for a column that the table lacks; the message names the one that is meant."""
    if name in columns:
        return
    near = near_name(name, columns)
    hint = f" (is it '{near}' here?)" if near else ""
    shown = ", ".join(list(columns)[:20]) + (" ..." if len(columns) > 20 else "")
    msg = f"{option} {name}: {data} has no column '{name}'{hint}; its columns are: {shown}"
    raise ConfigError(msg)


def choose_time(
    columns: Mapping[str, ScannedColumn], label: str, asked: str, date_formats: Mapping[str, str], data: str
) -> TimeColumn:
    """Return the column of times: the one that is asked for, or else one that looks like it.

    Raises
    ------
    DataError
        The column that is asked for has no times, or day and month cannot be told apart.
    """
    if asked:
        column = columns[asked]
        if column.doubt and column.kind == "datetime":
            msg = f"{data}: column '{asked}': {column.doubt}"
            raise DataError(msg)
        return TimeColumn(asked, date_formats.get(asked) or _format_of(column, data))
    dates = [c.name for c in columns.values() if c.kind == "datetime" and not c.constant and c.name != label]
    epochs = [c.name for c in columns.values() if c.name != label and _is_epoch(c)]
    candidates = dates or epochs
    if not candidates:
        return TimeColumn()
    chosen = min(candidates, key=_time_rank)
    column = columns[chosen]
    if column.doubt:
        msg = f"{data}: column '{chosen}' looks like the time of the rows, but {column.doubt}"
        raise DataError(msg)
    others = [name for name in candidates if name != chosen]
    among = f", among {', '.join(repr(name) for name in candidates)}" if others else ""
    note = f"'{chosen}' is taken as the time of a row{among}: --time COLUMN names another"
    return TimeColumn(chosen, date_formats.get(chosen) or _format_of(column, data), note)


def _time_rank(name: str) -> int:
    lower = name.lower()
    if lower in _BEST_TIME_NAMES:
        return _BEST_TIME_NAMES.index(lower)
    return len(_BEST_TIME_NAMES) + (0 if _TIME_NAME.fullmatch(name) else 1)


def _is_epoch(column: ScannedColumn) -> bool:
    named = _TIME_NAME.fullmatch(column.name) is not None
    if not (named and column.kind == "number" and column.whole):
        return False
    guesses = guess_time_numbers(*column.plain)
    return bool(guesses) and guesses[0].date_format in ("s", "ms", "us", "ns", "%Y%m%d", "%Y%m%d%H%M%S")


def _format_of(column: ScannedColumn, data: str) -> str:
    """Return the format of numbers that count time; empty for dates."""
    if column.kind == "datetime":
        return ""
    guesses = guess_time_numbers(*column.plain) if column.kind in ("number", "category") else ()
    if guesses and guesses[0].date_format:
        return guesses[0].date_format
    cure = guesses[0].remedy if guesses else "name a column of dates, such as 2026-01-31T14:00Z"
    asks = f"or give --date-format '{column.name}=%d/%m/%Y', as they are written"
    held = f"{data} has no times in this column, which holds {column.describe()}"
    msg = f"--time {column.name}: {held}: {cure}, {asks}"
    raise DataError(msg)
