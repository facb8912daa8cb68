"""replay: rows as live traffic."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from homeostat.adapters import open_store
from homeostat.cli.console import ProgressLines, err, print_json, progress, say
from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    from types import FrameType

    import pandas as pd

    from homeostat.replay.report import RowResult


def replay_rows(
    settings: Settings,
    model: str,
    data: str | None,
    *,
    between: tuple[str, str],
    rate: float | None,
    concurrency: int,
    live: bool,
    as_json: bool,
) -> None:
    """Send the rows of a file, or of the model's source (its history, if it has one), as live traffic.

    With ``live`` they have the time at which they are sent instead of their own, and the gateway uploads its
    log at the end.
    Otherwise, unless ``between`` has an end, only rows until now are sent: the gateway refuses later ones.
    """
    from homeostat.adapters.configured_source import ConfiguredSource
    from homeostat.core.training_data import FILE_NOTES
    from homeostat.replay import replay
    from homeostat.storage.retrain_request import parse_time

    config = settings.load_model(model)
    since, until = (parse_time(text, "--since or --until") if text else None for text in between)
    if until is None and not live:
        until = datetime.now(UTC)
    notes: list[str] = []
    if data is None:
        rows = ConfiguredSource(open_store(settings.store)).read(config.history_only(), since, until)
    else:
        rows = _read_rows(config, data)
        at = rows[config.columns.timestamp]
        notes = [*rows.attrs.get(FILE_NOTES, []), *_left_out(at, between, until)]
        wanted = at.notna()
        wanted &= at >= since if since else wanted
        wanted &= at < until if until else wanted
        rows = rows[wanted]
    _require_gateway(settings.gateway)
    if live:
        rows = rows.assign(**{config.columns.timestamp: live_times(len(rows), rate)})
    title = f"replaying {data.rstrip('/').rpartition('/')[2] if data else model}"
    with (
        stopped_by_ctrl_c() as stop,
        progress("rows") if err.is_terminal else ProgressLines("rows", every=10.0) as bar,
    ):
        task, tally = bar.add_task(title, total=len(rows)), _Tally()
        report = replay(
            rows,
            config,
            settings.gateway,
            rate=rate,
            concurrency=concurrency,
            token=settings.control_token,
            on_progress=lambda done: bar.update(task, completed=done, description=f"{title}{tally}"),
            on_result=tally.add,
            stop=stop,
        )
    if live:
        _upload(settings)
    if not as_json:
        for note in notes:
            say(note, "dim")
    if as_json:
        print_json(report.to_json())
    else:
        say(report.sentence())
    if report.failed:
        raise SystemExit(1)


class _Tally:
    """What the rows so far came to, for the line of progress."""

    def __init__(self) -> None:
        self._failed = self._right = self._known = 0

    def add(self, result: RowResult) -> None:
        self._failed += not result.ok
        if result.right is not None:
            self._known += 1
            self._right += result.right

    def __str__(self) -> str:
        accuracy = f", accuracy {self._right / self._known:.3f}" if self._known else ""
        return f"{accuracy}, {self._failed} failed"


@contextmanager
def stopped_by_ctrl_c() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets, so that a summary can follow; a second Ctrl-C ends the process."""
    stop = threading.Event()

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def _left_out(at: pd.Series, between: tuple[str, str], until: datetime | None) -> list[str]:
    """Return a note on the rows after now that are not sent because no end was given; [] for none."""
    later = int((at >= until).sum()) if until is not None and not between[1] else 0
    if not later:
        return []
    return [
        f"not sent: {later:,} rows after now, which the gateway refuses; --live gives rows the time of now"
    ]


def live_times(count: int, rate: float | None) -> pd.DatetimeIndex:
    """Return the time at which each row is due: from now on, ``rate`` rows a second, or all of them now."""
    import pandas as pd

    seconds = [row / rate for row in range(count)] if rate else [0.0] * count
    return pd.Timestamp(datetime.now(UTC)) + pd.to_timedelta(seconds, unit="s")


def _upload(settings: Settings) -> None:
    """Ask the gateway to upload its log, so that a check sees the rows; without a token it does so later."""
    if settings.control_token:
        headers = {"Authorization": f"Bearer {settings.control_token}"}
        with suppress(httpx.HTTPError):
            httpx.post(f"{settings.gateway}/control/flush", headers=headers, timeout=30, trust_env=False)


def _require_gateway(gateway: str) -> None:
    """Raise Unavailable unless a gateway responds: one error instead of one per row."""
    try:
        there = httpx.get(f"{gateway}/v2/health/live", timeout=10, trust_env=False).is_success
        why = "another server responds there"
    except httpx.HTTPError as error:
        there, why = False, re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    except httpx.InvalidURL as error:
        there, why = False, str(error)
    if not there:
        msg = (
            f"no gateway at {gateway} ({why}); start one with 'homeostat up' or 'homeostat gateway', "
            "or set HOMEOSTAT_GATEWAY to its URL"
        )
        raise Unavailable(msg)


def _read_rows(config: ModelConfig, data: str) -> pd.DataFrame:
    """Return the rows of a file or folder, sorted by time; a row without a readable time is an error."""
    from homeostat.adapters.schema_names import missing_columns_message
    from homeostat.adapters.source_files import read_table
    from homeostat.adapters.tables import open_table
    from homeostat.core.training_data.times import read_times

    table = open_table(data)
    stamp, features = config.columns.timestamp, config.columns.features
    needed = [stamp, *(name for name, feature in features.items() if feature.required)]
    missing = [name for name in needed if name not in table.types]
    if missing:
        raise ConfigError(missing_columns_message(config, data, table.names, missing))
    rows = read_table(table, config)
    times = read_times(rows[stamp], config, data)
    if times.isna().any():
        row = int(times.isna().to_numpy().argmax())
        msg = (
            f"{data}, row {row + 1}, column {stamp!r}: {rows[stamp].iloc[row]!r} is not a time: "
            "write it like 2026-01-05T07:00Z"
        )
        raise ConfigError(msg)
    return rows.assign(**{stamp: times}).sort_values(stamp, kind="stable")
