"""The world that history is replayed in: a clock that is told the time, rows, and when labels are known."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from homeostat.backtest.windows import Stream
from homeostat.config import ModelConfig
from homeostat.config.times import utc


class ReplayClock:
    """Shows the time that the replay has reached."""

    def __init__(self, start: datetime) -> None:
        self._now = start

    def now(self) -> datetime:
        """The replay's time."""
        return self._now

    def set(self, to: datetime) -> None:
        """Move to another time."""
        self._now = to


class ReplaySource:
    """Rows of a stream as far as they have happened, labels as far as they are known.

    A policy cannot look into the future even by mistake: rows after the clock's time are not handed out,
    and a label is empty until one window has passed. Those of the reference are all known at its end.
    """

    def __init__(self, stream: Stream, clock: ReplayClock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
        """See :meth:`homeostat.ports.Source.read`."""
        now = self._clock.now()
        found = between(self._stream, start, now if end is None else min(end, now))
        label = config.columns.label
        known = max(now - label.delay, self._stream.reference_end)
        unknown = found[self._stream.timestamp] >= pd.Timestamp(known)
        if unknown.any() and label.name in found:
            found[label.name] = found[label.name].mask(unknown)
        return found


def between(stream: Stream, start: datetime | None, end: datetime) -> pd.DataFrame:
    """A copy of the rows with ``start <= time < end``."""
    times = stream.rows[stream.timestamp]
    first = 0 if start is None else int(times.searchsorted(pd.Timestamp(start)))
    last = int(times.searchsorted(pd.Timestamp(end)))
    return stream.rows.iloc[first:last].reset_index(drop=True)


def replay_config(config: ModelConfig, stream: Stream) -> ModelConfig:
    """The model with its own settings, watched once a window and with labels one window late.

    No gateway and no person is there to wait for: what passes its gate serves. Bad periods are put on the
    replay's clock. ``monitor.min_rows`` is lowered to half a window where a window cannot reach it, as it was
    written for windows of another length.
    """
    label = config.columns.label.model_copy(update={"delay": stream.length})
    least = max(1, min(config.monitor.min_rows, usual_rows(stream)))
    if least < config.monitor.min_rows:
        least = max(1, least // 2)
    monitor = config.monitor.model_copy(
        update={"every": stream.length, "window": stream.length, "min_rows": least}
    )
    periods = tuple(
        period.model_copy(
            update={"start": stream.replayed(utc(period.start)), "end": stream.replayed(utc(period.end))}
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


def usual_rows(stream: Stream) -> int:
    """How many rows half of the windows have at least."""
    if stream.by_rows is not None:
        return stream.by_rows
    times = stream.rows[stream.timestamp]
    bounds = times.searchsorted(
        pd.DatetimeIndex([s.start for s in stream.windows] + [stream.windows[-1].end])
    )
    return int(pd.Series(bounds).diff().dropna().median())
