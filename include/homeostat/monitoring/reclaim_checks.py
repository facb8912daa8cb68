"""Take the checks of a model back from the Lambda function."""

from __future__ import annotations

from dataclasses import replace

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, NotFound
from homeostat.monitoring.context import history_lookback
from homeostat.monitoring.detector_records import (
    DetectorHistory,
    copy_entries,
    missing_entries,
    send_notices,
)
from homeostat.ports import Ports, Store
from homeostat.storage.model_state import load_published_state, publish_state
from homeostat.storage.sync_cursor import SyncCursor, delete_cursor, load_cursor, save_cursor
from homeostat.storage.trigger_outbox import unsent_triggers


def reclaim_checks(config: ModelConfig, ports: Ports, detector: DetectorHistory) -> int:
    """Take the checks of a model back from the function when ``monitor.runs_on`` says airflow again.

    Publishes that the function must stop, and copies the records that were not copied yet: otherwise Airflow
    would not know of the last trigger. A window whose trigger was never sent counts as not fired, so that the
    next check decides again. Returns how many records were copied.
    """
    runs_on = _published_runs_on(config, ports.store)
    cursor = load_cursor(ports.store, config.name) if runs_on else None
    if runs_on == "lambda":
        if cursor is None:  # the cursor marks an unfinished hand-over: a failed run is completed by the next
            cursor = SyncCursor(since=ports.clock.now())
            save_cursor(ports.store, config.name, cursor)
        publish_state(config, ports)
    if cursor is None:
        return 0
    since = cursor.newest_window and cursor.newest_window - history_lookback(config)
    entries = detector.entries(config.name, since)
    unsent = unsent_triggers(ports.store, config.name, [entry.record for entry in entries])
    entries = [
        replace(entry, record=replace(entry.record, fired=False)) if entry.record in unsent else entry
        for entry in entries
    ]
    known = {record.window_end: record for record in ports.history.windows(config.name, since=since)}
    copied = copy_entries(config, ports, detector, missing_entries(entries, known))
    send_notices(config, ports)
    delete_cursor(ports.store, config.name)
    return len(copied.records)


def _published_runs_on(config: ModelConfig, store: Store) -> str:
    """Return who checks this model according to the published state; "" when nothing was published."""
    try:
        return load_published_state(store, config.name).config.monitor.runs_on
    except NotFound:
        return ""
    except ConfigError:  # published by another version of Homeostat, for a function of that version
        return "lambda"
