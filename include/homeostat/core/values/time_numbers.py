"""What numbers in a column of times stand for: the digits of a date, or a count as some program keeps it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

from homeostat.config.date_format import EPOCH_UNITS

UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "d": "days"}
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_DAY = 86_400.0
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
_1960 = datetime(1960, 1, 1, tzinfo=UTC)
#: Times that end later may as well be a count from an earlier year.
_LATE = 2028


class _Count(NamedTuple):
    """How a program counts: in words, the years in which its times usually lie, and what to do."""

    words: str
    start: datetime
    per_second: float
    years: tuple[int, int]
    date_format: str = ""
    remedy: str = ""


_SECONDS = tuple(
    _Count(f"{UNIT_NAMES[unit]} since 1970", _1970, EPOCH_UNITS[unit], (1900, 2100), unit)
    for unit in ("s", "ms", "us", "ns")
)
_EXCEL = _Count(
    *("days as Excel counts", datetime(1899, 12, 30, tzinfo=UTC), 1 / _DAY, (1954, 2065)),
    remedy="format the column as dates in Excel (yyyy-mm-dd hh:mm) and save the file again",
)
_SAS = _Count(
    *("seconds since 1960 as SAS counts", _1960, 1.0, (1990, _LATE - 1)),
    remedy="give the column the format E8601DT19. in SAS and export it again",
)
_SAS_DAYS = _Count(
    *("days since 1960 as SAS counts", _1960, 1 / _DAY, (1990, _LATE - 1)),
    remedy="give the column the format YYMMDD10. in SAS and export it again",
)
_DAYS = _Count("days since 1970", _1970, 1 / _DAY, (1990, 2050), "d")
_CONVERT = "convert them to dates such as 2024-01-31T10:30:00Z"
_TICKS = (
    _Count(
        *("steps of 100 ns since 1601 as Windows counts", datetime(1601, 1, 1, tzinfo=UTC), 1e7),
        *((1990, 2050), "", _CONVERT),
    ),
    _Count("ticks of .NET", datetime(1, 1, 1, tzinfo=UTC), 1e7, (1990, 2050), "", _CONVERT),
)


def seconds_in(value: time | timedelta) -> float:
    """Return a duration, or the time since midnight, in seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6


@dataclass(frozen=True, slots=True)
class TimeNumbers:
    """A guess: what the numbers count, both ends, and the ``date_format`` that reads them or the remedy."""

    words: str
    first: datetime
    last: datetime
    date_format: str = ""
    remedy: str = ""

    def describe(self) -> str:
        """Return the guess in words: ``seconds since 1970 (2024-01-01 to 2024-03-03)``."""
        return f"{self.words} ({self.first:%Y-%m-%d} to {self.last:%Y-%m-%d})"


def guess_time_numbers(low: float, high: float) -> tuple[TimeNumbers, ...]:
    """Return what numbers between these ends are if they are times, the most plausible first.

    There are several where a year tells nothing: a count of days may begin in 1960 or in 1970, and one of
    seconds that ends in years to come may be one from 1960.
    """
    if not low <= high:
        return ()
    if digits := _guess_digits(low, high):
        return (digits,)
    ticks = _fitting(_TICKS, low, high)
    if ticks:
        return ticks
    found = _fitting(_SECONDS, low, high)
    if found and found[0].date_format == "s" and found[0].last.year >= _LATE:
        return (*_fitting([_SAS], low, high), *found)
    if found:
        return found
    days = sorted(_fitting([_DAYS, _SAS_DAYS], low, high), key=lambda each: each.last.year >= _LATE)
    excel = _fitting([_EXCEL], low, high)
    certain = excel and (not days or days[0].last.year >= _LATE)
    return excel if certain else tuple(days)


def _guess_digits(low: float, high: float) -> TimeNumbers | None:
    for digits, date_format in _DIGITS.items():
        if low == low // 1 and high == high // 1 and 10 ** (digits - 1) <= low <= high < 10**digits:
            with suppress(ValueError):
                first, last = (
                    datetime.strptime(str(int(end)), date_format).replace(tzinfo=UTC) for end in (low, high)
                )
                if first.year >= 1900 and last.year <= 2100:
                    return TimeNumbers(f"dates as {date_format}", first, last, date_format)
    return None


def _fitting(counts: Iterable[_Count], low: float, high: float) -> tuple[TimeNumbers, ...]:
    """Return the counts that put both ends into their usual years, and the later one after 1970."""
    found = []
    for each in counts:
        with suppress(OverflowError):
            first, last = (each.start + timedelta(seconds=end / each.per_second) for end in (low, high))
            earliest, latest = each.years
            if first.year >= earliest and max(1971, earliest) <= last.year <= latest:
                found.append(TimeNumbers(each.words, first, last, each.date_format, each.remedy))
    return tuple(found)
