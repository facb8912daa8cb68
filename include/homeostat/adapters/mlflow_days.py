"""The runs of MLflow that hold checked windows: one a day, one a month, and the records in their tags."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from homeostat.adapters.mlflow_client import safe_names
from homeostat.config.errors import Refused
from homeostat.core.trigger import WindowRecord

logger = logging.getLogger(__name__)

#: The day of a day's run (``2026-03-02``) and the month of a month's run (``2026-03``).
DAY, MONTH = "homeostat.day", "homeostat.month"
#: The record of a window, with the time of its end: ``mlflow.homeostat.record.05:00:00``. MLflow's UI does
#: not show tags that begin with "mlflow.": 24 records would fill the page of a day, 288 the list of columns.
RECORD = "mlflow.homeostat.record."
#: Tags of the runs of earlier releases: one run per window, and one with the series of all windows.
OLD_RECORD, OLD_TIMELINE = "homeostat.record", "homeostat.timeline"
OLD_WINDOW_END = "homeostat.window_end"
#: MLflow cuts longer values of a tag without a word.
_MAX_TAG = 8000
_COMPRESSED = "zlib:"
_MINUTE = 60_000  # in milliseconds: the step of a window is the minute of its end


def millis(at: datetime) -> int:
    """Return a time as MLflow has it: milliseconds since 1970."""
    return int(at.timestamp() * 1000)


def day_of(end: datetime) -> datetime:
    """Return the begin of the UTC day of a window's end."""
    return end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def month_of(end: datetime) -> datetime:
    """Return the begin of the UTC month of a window's end."""
    return day_of(end).replace(day=1)


def record_tag(record: WindowRecord) -> dict[str, str]:
    """Return the tag that holds a record; a long record is compressed.

    Raises
    ------
    Refused
        MLflow's tags do not hold it.
    """
    end = record.window_end.astimezone(UTC)
    within = f".{end:%f}" if end.microsecond else ""
    raw = json.dumps(record.to_json(), allow_nan=False)
    if len(raw) > _MAX_TAG:
        raw = _COMPRESSED + base64.b64encode(zlib.compress(raw.encode())).decode()
    if len(raw) > _MAX_TAG:
        msg = (
            f"the record of the window that ended at {end:%Y-%m-%d %H:%M} UTC has {len(raw)} characters, "
            f"compressed; a tag of MLflow holds {_MAX_TAG}: name fewer slices in monitor.slices"
        )
        raise Refused(msg)
    return {f"{RECORD}{end:%H:%M:%S}{within}": raw}


def read_records(runs: Iterable[Any]) -> dict[datetime, WindowRecord]:
    """Return the records of all runs by the end of their window.

    A record of a day's run counts before that of a window's own run, of an earlier release. Two checks at
    the same time may both have made a run of the day. Later checks write to :func:`first_run`: its records
    count.
    """
    found: dict[datetime, WindowRecord] = {}
    for run in sorted(runs, key=lambda run: run.info.run_id, reverse=True):
        tags = run.data.tags
        own = [value for name, value in tags.items() if name.startswith(RECORD)]
        old = [] if own or OLD_RECORD not in tags else [tags[OLD_RECORD]]
        for value in (*own, *old):
            record = _read(value, run.info.run_id)
            if record is not None and (own or record.window_end not in found):
                found[record.window_end] = record
    return found


def first_run(runs: Sequence[Any]) -> Any | None:
    """Return the run that every check writes to, where two checks made one each; None without a run."""
    return min(runs, key=lambda run: run.info.run_id, default=None)


def runs_of(client: Any, experiment: str, tag: str, begin: datetime) -> list[Any]:
    """Return the runs of a day or a month, which start with it: every day has the tag, so time is faster."""
    query = f"attributes.start_time = {millis(begin)}"
    return [run for run in client.search_runs([experiment], query) if tag in run.data.tags]


def create_run(client: Any, experiment: str, tag: str, begin: datetime, note: Mapping[str, str]) -> Any:
    """Create the run of a day or a month; it starts and ends with it, so that MLflow sorts by time."""
    length = timedelta(days=1) if tag == DAY else timedelta(days=32)
    end = begin + length if tag == DAY else (begin + length).replace(day=1)
    name = f"{begin:%Y-%m-%d}" if tag == DAY else f"month {begin:%Y-%m}"
    tags = {tag: name.removeprefix("month "), **note}
    run = client.create_run(experiment, start_time=millis(begin), tags=tags, run_name=name)
    client.set_terminated(run.info.run_id, "FINISHED", end_time=millis(end))
    return run


def new_points(run: Any, values: Mapping[str, float], end: datetime) -> dict[int, dict[str, float]]:
    """Return the points of a window that its run lacks, by their time in milliseconds.

    MLflow keeps one point of the same name, step, time and value, and cannot replace one. Of two of the same
    step it shows the later one: a value that a second check has changed is a millisecond later.
    """
    at, found = millis(end), dict[int, dict[str, float]]()
    latest = {metric.key: metric for metric in run.data.to_proto().metrics}
    safe = safe_names(values)
    for name, value in values.items():
        known = latest.get(safe[name])
        if known is None or known.step != at // _MINUTE:
            found.setdefault(at, {})[safe[name]] = value
        elif known.value != value:
            found.setdefault(max(at, known.timestamp + 1), {})[safe[name]] = value
    return found


def step_of(end: datetime) -> int:
    """Return the step of a window: the minute of its end, since 1970."""
    return millis(end) // _MINUTE


def _read(value: str, run_id: str) -> WindowRecord | None:
    try:
        if value.startswith(_COMPRESSED):
            value = zlib.decompress(base64.b64decode(value.removeprefix(_COMPRESSED))).decode()
        return WindowRecord.from_json(json.loads(value))
    except (ValueError, KeyError, TypeError, zlib.error) as error:
        logger.warning("skipped a record of MLflow's run %s, which cannot be read: %s", run_id, error)
        return None
