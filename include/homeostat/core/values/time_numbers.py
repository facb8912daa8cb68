"""What numbers in a column of times stand for: a count from 1970, the digits of a date, or Excel's days."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from homeostat.config.date_format import EPOCH_UNITS

UNIT_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
#: Excel counts days from here (and takes 1900 for a leap year).
_EXCEL_START = datetime(1899, 12, 30, tzinfo=UTC)
_EXCEL_DAYS = (20_000, 80_000)  # 1954 to 2119
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
# What times usually are: later than 1900, and the last one between 1971 and 2100.
_EPOCH_1900, _EPOCH_1971, _EPOCH_2100 = -2.2e9, 3.2e7, 4.1e9


def seconds_in(value: time | timedelta) -> float:
    """Return a duration, or the time since midnight, in seconds."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.hour * 3600 + value.minute * 60 + value.second + value.microsecond / 1e6


@dataclass(frozen=True, slots=True)
class TimeNumbers:
    """A guess: the ``date_format`` that reads these numbers, empty for Excel's days, and both ends."""

    date_format: str
    first: datetime
    last: datetime

    def describe(self) -> str:
        """Return the guess in words: ``seconds since 1970 (2024-01-01 to 2024-03-03)``."""
        names = {name: f"{words} since 1970" for name, words in UNIT_NAMES.items()} | {
            "": "days as Excel counts"
        }
        words = names.get(self.date_format, f"dates as {self.date_format}")
        return f"{words} ({self.first:%Y-%m-%d} to {self.last:%Y-%m-%d})"


def guess_time_numbers(low: float, high: float) -> TimeNumbers | None:
    """Return what numbers between these ends are if they are times; None where nothing plausible fits.

    The ranges of the guesses do not overlap, so there is one at most.
    """
    if not low <= high:
        return None
    for digits, date_format in _DIGITS.items():
        if low == low // 1 and high == high // 1 and 10 ** (digits - 1) <= low <= high < 10**digits:
            with suppress(ValueError):
                first, last = (
                    datetime.strptime(str(int(end)), date_format).replace(tzinfo=UTC) for end in (low, high)
                )
                if first.year >= 1900 and last.year <= 2100:
                    return TimeNumbers(date_format, first, last)
    for unit, per_second in EPOCH_UNITS.items():
        first_second, last_second = low / per_second, high / per_second
        if first_second > _EPOCH_1900 and _EPOCH_1971 < last_second < _EPOCH_2100:
            ends = (datetime.fromtimestamp(end, UTC) for end in (first_second, last_second))
            return TimeNumbers(unit, *ends)
    if _EXCEL_DAYS[0] <= low and high <= _EXCEL_DAYS[1]:
        return TimeNumbers("", *(_EXCEL_START + timedelta(days=float(end)) for end in (low, high)))
    return None
