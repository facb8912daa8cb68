"""Split a history into a reference and windows, on the clock of the replay."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd

from homeostat.config import format_duration, parse_duration
from homeostat.config.errors import ConfigError, DataError

_ROWS = re.compile(r"(\d+)\s*rows?")
#: Labels arrive one window late, so that one window cannot show the effect of any decision.
MIN_WINDOWS = 2
#: More windows than this are refused when most of them have no row: a time among the rows is wrong.
MAX_EMPTY_WINDOWS = 10_000


@dataclass(frozen=True, slots=True)
class Window:
    """One window ``[start, end)`` on the replay's clock, and its bounds by the rows' original times."""

    index: int
    start: datetime
    end: datetime
    actual_start: datetime
    actual_end: datetime


@dataclass(frozen=True, slots=True)
class SplitHistory:
    """Rows sorted by the replay's clock; those before ``reference_end`` are the reference.

    ``length`` is the length of every window. ``dropped_rows`` counts the rows of an incomplete last window.
    ``rows_per_window`` is None when windows are cut by time.
    """

    rows: pd.DataFrame
    timestamp: str
    original_times: pd.Series
    start: datetime
    reference_end: datetime
    reference_rows: int
    length: timedelta
    windows: tuple[Window, ...]
    dropped_rows: int
    rows_per_window: int | None

    def to_replay_time(self, moment: datetime) -> datetime:
        """Convert an original time to the replay's clock."""
        if self.rows_per_window is None:
            return moment
        position = int(self.original_times.searchsorted(pd.Timestamp(moment)))
        return self.start + position * (self.length / self.rows_per_window)


def parse_windows(text: str) -> int | timedelta:
    """Parse ``168rows`` to 168 and ``7d`` to a timedelta; raise ConfigError for anything else."""
    rows = _ROWS.fullmatch(text.strip())
    try:
        windows: int | timedelta = int(rows[1]) if rows else parse_duration(text)
    except ValueError:
        msg = f"--windows {text!r}: write a number of rows, such as 168rows, or a duration, such as 7d"
        raise ConfigError(msg) from None
    if not windows:
        msg = f"--windows {text!r}: the length must be positive, such as 168rows or 7d"
        raise ConfigError(msg)
    return windows


def format_windows(windows: int | timedelta) -> str:
    """Format a window's length as :func:`parse_windows` reads it."""
    return f"{windows}rows" if isinstance(windows, int) else format_duration(windows)


def median_spacing(times: pd.Series) -> timedelta:
    """Return the median distance between consecutive rows; an hour when all times are equal."""
    gaps = times.diff().dropna()
    gaps = gaps[gaps > pd.Timedelta(0)] if len(gaps) and not gaps.median() else gaps
    seconds = float(gaps.dt.total_seconds().median()) if len(gaps) else 0.0
    return timedelta(seconds=seconds) or timedelta(hours=1)


def split_history(
    frame: pd.DataFrame, timestamp: str, windows: int | timedelta, reference_share: float
) -> SplitHistory:
    """Split rows into a reference and whole windows.

    Windows of a number of rows get evenly spaced times (the median spacing of the original ones), so that all
    windows have the same length and the durations of model.yaml keep their meaning despite gaps.

    Parameters
    ----------
    frame
        Rows sorted by ``timestamp`` (UTC).
    windows
        Window length: a number of rows, or a duration.
    reference_share
        Share of the rows, in (0, 1), that the first version is trained on.

    Raises
    ------
    DataError
        Fewer than two whole windows follow the reference, or thousands without a row.
    """
    times = frame[timestamp].reset_index(drop=True)
    reference_rows = int(len(frame) * reference_share)
    if not 0 < reference_rows < len(frame):
        msg = (
            f"{len(frame)} rows are too few for a reference of {reference_share:.0%}: "
            "give more rows or another --reference-share"
        )
        raise DataError(msg)
    try:
        if isinstance(windows, int):
            return _split_by_rows(frame, timestamp, times, windows, reference_rows)
        return _split_by_time(frame, timestamp, times, windows, reference_rows)
    except OverflowError:
        last = times.iloc[-1]
        msg = f"'{timestamp}' goes on until {last:%Y-%m-%d}, the end of the calendar: correct these times"
        raise DataError(msg) from None


def _split_by_rows(
    frame: pd.DataFrame, timestamp: str, times: pd.Series, per_window: int, reference_rows: int
) -> SplitHistory:
    spacing, start = median_spacing(times), _moment(times.iloc[0])
    count = (len(frame) - reference_rows) // per_window
    _check_count(count, per_window, len(frame) - reference_rows, reference_rows)
    length, reference_end = spacing * per_window, start + spacing * reference_rows
    bounds = [reference_rows + per_window * k for k in range(count + 1)]

    def original_time(position: int) -> datetime:
        return _moment(times.iloc[position]) if position < len(times) else _moment(times.iloc[-1]) + spacing

    rows = frame.reset_index(drop=True)
    even_times = pd.Series(_even_times(start, spacing, len(rows)), index=rows.index)
    return SplitHistory(
        rows=rows.assign(**{timestamp: even_times}),
        timestamp=timestamp,
        original_times=times,
        start=start,
        reference_end=reference_end,
        reference_rows=reference_rows,
        length=length,
        windows=tuple(
            Window(
                index=k,
                start=reference_end + length * k,
                end=reference_end + length * k + length,
                actual_start=original_time(bounds[k]),
                actual_end=original_time(bounds[k + 1]),
            )
            for k in range(count)
        ),
        dropped_rows=len(rows) - bounds[-1],
        rows_per_window=per_window,
    )


def _split_by_time(
    frame: pd.DataFrame, timestamp: str, times: pd.Series, length: timedelta, reference_rows: int
) -> SplitHistory:
    reference_end = _moment(times.iloc[reference_rows])
    count = int((_moment(times.iloc[-1]) - reference_end + median_spacing(times)) // length)
    _check_empty(times[times >= reference_end], timestamp, count, length)
    edges = [reference_end + length * k for k in range(count + 1)]
    bounds = [int(position) for position in times.searchsorted(pd.DatetimeIndex(edges))]
    reference_rows = bounds[0]
    _check_count(count, length, len(frame) - reference_rows, reference_rows)
    return SplitHistory(
        rows=frame.reset_index(drop=True),
        timestamp=timestamp,
        original_times=times,
        start=_moment(times.iloc[0]),
        reference_end=reference_end,
        reference_rows=reference_rows,
        length=length,
        windows=tuple(Window(k, start, end, start, end) for k, (start, end) in enumerate(pairwise(edges))),
        dropped_rows=len(frame) - bounds[-1],
        rows_per_window=None,
    )


def _even_times(start: datetime, spacing: timedelta, count: int) -> pd.DatetimeIndex:
    steps = np.arange(count) * round(spacing / timedelta(microseconds=1))
    return pd.DatetimeIndex(pd.Timestamp(start).as_unit("us") + pd.to_timedelta(steps, unit="us"))


def _moment(value: pd.Timestamp) -> datetime:
    # Drops nanoseconds, which a datetime cannot hold.
    return value.to_pydatetime(warn=False).astimezone(UTC)


def _check_empty(times: pd.Series, timestamp: str, count: int, length: timedelta) -> None:
    """Raise DataError for thousands of windows of which most have no row."""
    if count <= MAX_EMPTY_WINDOWS:
        return
    filled = ((times - times.iloc[0]) // length).nunique()
    if count > 2 * filled:
        gap = int(times.diff().fillna(pd.Timedelta(0)).to_numpy().argmax())
        msg = (
            f"{count - filled:,} of {count:,} windows of {format_windows(length)} would have no row: between "
            f"{times.iloc[gap - 1]:%Y-%m-%d} and {times.iloc[gap]:%Y-%m-%d} '{timestamp}' has no time. "
            "Correct the times, leave out the rows before or after, or give longer --windows"
        )
        raise DataError(msg)


def _check_count(count: int, windows: int | timedelta, rows_left: int, reference_rows: int) -> None:
    if count >= MIN_WINDOWS:
        return
    msg = (
        f"after the {reference_rows} rows of the reference {rows_left} rows are left: {count or 'not one'} "
        f"whole window{'s' if count > 1 else ''} of {format_windows(windows)}. Labels arrive one window "
        f"late, so at least {MIN_WINDOWS} windows are needed: give more rows, shorter --windows or a smaller "
        "--reference-share"
    )
    raise DataError(msg)
