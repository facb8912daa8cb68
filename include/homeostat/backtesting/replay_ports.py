"""Ports and configuration of a replay: its clock, its source of rows, and the delay of labels."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from homeostat.backtesting.windows import SplitHistory
from homeostat.config import ModelConfig
from homeostat.config.times import utc


class ReplayClock:
    """A clock that shows the time that the replay has reached."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the replay's time."""
        return self._now

    def set(self, to: datetime) -> None:
        """Set the replay's time."""
        self._now = to


class ReplaySource:
    """The history up to the clock's time, with the labels known at that time.

    This prevents look-ahead: rows after the clock's time are never returned, and a label is empty until one
    window has passed. All labels of the reference are known at its end.
    """

    def __init__(self, history: SplitHistory, clock: ReplayClock) -> None:
        self._history = history
        self._clock = clock

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        """See :meth:`homeostat.ports.Source.read`."""
        now = self._clock.now()
        rows = rows_between(self._history, start, now if end is None else min(end, now))
        label = config.columns.label
        known_until = max(now - label.delay, self._history.reference_end)
        unknown = rows[self._history.timestamp] >= pd.Timestamp(known_until)
        if unknown.any() and label.name in rows:
            rows[label.name] = rows[label.name].mask(unknown)
        return rows

    def count(self, *_: object) -> None:
        """Return None: the rows are in memory."""


def rows_between(history: SplitHistory, start: datetime | None, end: datetime) -> pd.DataFrame:
    """Return a copy of the rows with ``start <= time < end``."""
    times = history.rows[history.timestamp]
    first = 0 if start is None else int(times.searchsorted(pd.Timestamp(start)))
    last = int(times.searchsorted(pd.Timestamp(end)))
    return history.rows.iloc[first:last].reset_index(drop=True)


def replay_config(config: ModelConfig, history: SplitHistory) -> ModelConfig:
    """Return the model's configuration, adapted to the replay.

    One check per window, and labels one window late, of rows that are scored as a batch. Bad periods are
    moved to the replay's clock. ``monitor.min_rows`` is lowered to half a window when a window has fewer rows
    than that.
    """
    label = config.columns.label.model_copy(update={"delay": history.length})
    min_rows = max(1, min(config.monitor.min_rows, median_window_rows(history)))
    if min_rows < config.monitor.min_rows:
        min_rows = max(1, min_rows // 2)
    monitor = config.monitor.model_copy(
        update={"every": history.length, "window": history.length, "min_rows": min_rows}
    )
    periods = tuple(
        period.model_copy(
            update={
                "start": history.to_replay_time(utc(period.start)),
                "end": history.to_replay_time(utc(period.end)),
            }
        )
        for period in config.training.bad_periods
    )
    return config.model_copy(
        update={
            "serve": "none",
            "approval": "none",
            "notify": (),
            "columns": config.columns.model_copy(update={"label": label}),
            "monitor": monitor,
            "training": config.training.model_copy(update={"bad_periods": periods}),
        }
    )


def served_config(config: ModelConfig) -> ModelConfig:
    """Return the model's configuration for its rollouts in a replay: nobody approves, nobody is notified."""
    return config.model_copy(update={"approval": "none", "notify": ()})


def median_window_rows(history: SplitHistory) -> int:
    """Return the median number of rows per window."""
    if history.rows_per_window is not None:
        return history.rows_per_window
    return int(_window_rows(history).median())


def empty_windows(history: SplitHistory) -> int:
    """Return the number of windows without a row."""
    return 0 if history.rows_per_window is not None else int((_window_rows(history) == 0).sum())


def _window_rows(history: SplitHistory) -> pd.Series:
    times = history.rows[history.timestamp]
    edges = [window.start for window in history.windows] + [history.windows[-1].end]
    return pd.Series(times.searchsorted(pd.DatetimeIndex(edges))).diff().dropna()
