"""History cut into a reference and windows, on the clock that the replay runs by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from homeostat.config import format_duration, parse_duration
from homeostat.config.errors import ConfigError, DataError

_ROWS = re.compile(r"(\d+)\s*rows?")
#: With labels one window late, a single window shows nothing of what a policy would have done.
MIN_WINDOWS = 2


@dataclass(frozen=True, slots=True)
class Span:
    """One window ``[start, end)`` on the replay's clock; ``first`` and ``last`` are its true times."""

    number: int
    start: datetime
    end: datetime
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows on the replay's clock, sorted; everything before ``reference_end`` is the reference.

    ``length`` is one window's, the same for all. ``left_out`` counts the rows of an incomplete last window.
    """

    rows: pd.DataFrame
    timestamp: str
    true_times: pd.Series
    begin: datetime
    reference_end: datetime
    reference_rows: int
    length: timedelta
    windows: tuple[Span, ...]
    left_out: int
    by_rows: int | None

    def replayed(self, moment: datetime) -> datetime:
        """A true time on the replay's clock."""
        if self.by_rows is None:
            return moment
        at = int(self.true_times.searchsorted(pd.Timestamp(moment)))
        return self.begin + at * (self.length / self.by_rows)


def parse_windows(text: str) -> int | timedelta:
    """``168rows`` gives 168, ``7d`` a week; raises ConfigError for anything else."""
    rows = _ROWS.fullmatch(text.strip())
    try:
        found: int | timedelta = int(rows[1]) if rows else parse_duration(text)
    except ValueError:
        msg = f"--windows {text!r}: write a number of rows, such as 168rows, or a duration, such as 7d"
        raise ConfigError(msg) from None
    if not found:
        msg = f"--windows {text!r}: a window needs some length, such as 168rows or 7d"
        raise ConfigError(msg)
    return found


def spacing_of(times: pd.Series) -> timedelta:
    """The median distance between two rows that follow each other; an hour where that is nothing."""
    gaps = times.diff().dropna()
    gaps = gaps[gaps > pd.Timedelta(0)] if len(gaps) and not gaps.median() else gaps
    seconds = float(gaps.dt.total_seconds().median()) if len(gaps) else 0.0
    return timedelta(seconds=seconds) or timedelta(hours=1)


def cut(frame: pd.DataFrame, timestamp: str, windows: int | timedelta, share: float) -> Stream:
    """Cut rows into a reference and whole windows.

    Windows of so many rows get evenly spaced times (the true ones' median distance), so that every window
    is as long as the others and the durations of model.yaml keep their meaning whatever gaps there are.

    Parameters
    ----------
    frame
        Rows sorted by ``timestamp`` (UTC).
    windows
        So many rows, or so much time, a window.
    share
        How much of the rows, in (0, 1), the first version is made of.

    Raises
    ------
    DataError
        Fewer than two whole windows follow the reference.
    """
    times = frame[timestamp].reset_index(drop=True)
    count = int(len(frame) * share)
    if not 0 < count < len(frame):
        msg = (
            f"{len(frame)} rows: too few to set {share:.0%} of them aside for the first version; "
            "give more rows or another --reference-share"
        )
        raise DataError(msg)
    spacing = spacing_of(times)
    begin = _moment(times.iloc[0])
    rows = frame.reset_index(drop=True)
    if isinstance(windows, int):
        rows = rows.assign(**{timestamp: pd.Series(_even(begin, spacing, len(rows)), index=rows.index)})
        length = spacing * windows
        number = (len(rows) - count) // windows
        reference_end = begin + spacing * count
        bounds = [count + windows * k for k in range(number + 1)]
    else:
        length = windows
        reference_end = _moment(times.iloc[count])
        number = int((_moment(times.iloc[-1]) + spacing - reference_end) // length)
        edges = [pd.Timestamp(reference_end + length * k) for k in range(number + 1)]
        bounds = [int(at) for at in times.searchsorted(pd.DatetimeIndex(edges))]
        count = bounds[0]
    if number < MIN_WINDOWS:
        raise DataError(_too_few(len(frame) - count, number, windows, count))
    spans = []
    for k in range(number):
        start = reference_end + length * k
        first, last = (
            (_true(times, bounds[k], spacing), _true(times, bounds[k + 1], spacing))
            if isinstance(windows, int)
            else (start, start + length)
        )
        spans.append(Span(k, start, start + length, first, last))
    return Stream(
        rows=rows,
        timestamp=timestamp,
        true_times=times,
        begin=begin,
        reference_end=reference_end,
        reference_rows=count,
        length=length,
        windows=tuple(spans),
        left_out=len(rows) - bounds[-1],
        by_rows=windows if isinstance(windows, int) else None,
    )


def shown(windows: int | timedelta) -> str:
    """A window's length as people write it."""
    return f"{windows}rows" if isinstance(windows, int) else format_duration(windows)


def _even(begin: datetime, spacing: timedelta, count: int) -> pd.DatetimeIndex:
    steps = np.arange(count) * round(spacing / timedelta(microseconds=1))
    return pd.DatetimeIndex(pd.Timestamp(begin).as_unit("us") + pd.to_timedelta(steps, unit="us"))


def _true(times: pd.Series, at: int, spacing: timedelta) -> datetime:
    return _moment(times.iloc[at]) if at < len(times) else _moment(times.iloc[-1]) + spacing


def _moment(value: pd.Timestamp) -> datetime:
    # Not finer than a microsecond, which is all that a datetime holds.
    return value.to_pydatetime(warn=False).astimezone(UTC)


def _too_few(left: int, number: int, windows: int | timedelta, count: int) -> str:
    return (
        f"after the {count} rows of the reference {left} are left: {number or 'not one'} whole window"
        f"{'s' if number > 1 else ''} of {shown(windows)}, and {MIN_WINDOWS} are the least that shows "
        "anything, with labels one window late: give more rows, shorter --windows or a smaller "
        "--reference-share"
    )
