"""The windows of one champion: which records are evidence about the version that serves now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from homeostat.core.trigger.records import WindowRecord, WindowVerdict


def one_per_window(history: Iterable[WindowRecord]) -> dict[datetime, WindowRecord]:
    """Return one record per window end; of several, the one that fired."""
    records: dict[datetime, WindowRecord] = {}
    for record in history:
        known = records.get(record.window_end)
        if known is None or record.sort_key() > known.sort_key():
            records[record.window_end] = record
    return records


def records_before(history: Iterable[WindowRecord], end: datetime) -> list[WindowRecord]:
    """Return the records of windows that ended before ``end``, oldest first."""
    return [record for at, record in sorted(one_per_window(history).items()) if at < end]


def tenure(history: Iterable[WindowRecord], current: WindowRecord) -> list[WindowRecord]:
    """Return the windows before ``current`` since its version became champion, oldest first."""
    return latest_tenure(records_before(history, current.window_end), current.version)


def latest_tenure(records: Sequence[WindowRecord], version: str) -> list[WindowRecord]:
    """Return the last records in which this version was champion without interruption."""
    length = next(
        (n for n, record in enumerate(reversed(records)) if record.version != version), len(records)
    )
    return list(records[len(records) - length :])


def drifting_since(history: Iterable[WindowRecord], current: WindowRecord) -> datetime | None:
    """Return the end of the first window of the run of drift alerts that ends at ``current``, or None."""
    records = [*tenure(history, current), current]
    run = alert_run([record.drift for record in records])
    alerts = [record.window_end for record in records if record.drift == "alert"]
    return alerts[-run] if run else None


def alert_run(verdicts: Sequence[WindowVerdict]) -> int:
    """Count the alerts in a row at the end; 0 unless the last verdict is an alert.

    A pass ends a run. Windows that are pending or not computable neither lengthen nor end it.
    """
    if not verdicts or verdicts[-1] != "alert":
        return 0
    counted = [verdict for verdict in verdicts if verdict in ("alert", "pass")]
    return next((n for n, verdict in enumerate(reversed(counted)) if verdict == "pass"), len(counted))


def is_calm(record: WindowRecord) -> bool:
    """Whether the window has a pass and no alert, neither of the whole nor of a slice."""
    verdicts = {record.drift, record.performance}
    return "pass" in verdicts and "alert" not in verdicts and not record.decayed_slices
