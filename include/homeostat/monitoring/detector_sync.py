"""Synchronise Airflow with the Lambda function that checks a model (``monitor.runs_on: lambda``)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from homeostat.config import ModelConfig, format_duration
from homeostat.config.duration import describe_duration
from homeostat.config.errors import HomeostatError, Unavailable
from homeostat.core.trigger import WindowRecord, silent_after
from homeostat.monitoring.check_notice import checks_run_again
from homeostat.monitoring.context import history_lookback
from homeostat.monitoring.detector_records import DetectorHistory, copy_entries, missing_entries, send_notices
from homeostat.ports import Notice, NoticeKind, Ports
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.storage.bundles import load_reference
from homeostat.storage.model_state import publish_state
from homeostat.storage.sync_cursor import SyncCursor, load_cursor, save_cursor
from homeostat.storage.trigger_outbox import write_receipt

logger = logging.getLogger(__name__)

#: How often all records of the function are compared with MLflow, not only the recent ones.
_FULL_SYNC_EVERY = timedelta(days=1)


def sync_detector(config: ModelConfig, ports: Ports, detector: DetectorHistory) -> dict[str, Any]:
    """Publish the model's state for the function, and copy its checks and notices.

    Records that MLflow lacks, or has with other content, are copied once, oldest first. The function loads no
    models, so this run also compares former champions for each copied window. A second run finds nothing to
    do.

    Parameters
    ----------
    detector
        The history that the function writes, see :func:`homeostat.adapters.open_store_history`.

    Returns
    -------
    Small, plain JSON: ``window_end`` (of the newest check; "" without one), ``synced`` (records copied),
    ``notices`` (sent), ``checks_stopped`` (no check for more than three periods), ``fired`` (False: a trigger
    arrives by the queue), ``sentence``, ``url`` (of the newest record copied; "" without one), and
    ``aliases``, see :func:`homeostat.rollouts.alias_sync.sync_aliases`.
    """
    stored = load_cursor(ports.store, config.name)
    if stored is not None:
        publish_state(config, ports)  # first: all that follows needs MLflow, which may be unavailable
    revision = ports.ledger.read(config.name).revision
    aliases = sync_aliases(config, ports)
    now = ports.clock.now()
    cursor = stored or SyncCursor(since=now)
    since = _since(config, cursor, now)
    entries = detector.entries(config.name, since)
    known = {record.window_end: record for record in ports.history.windows(config.name, since=since)}
    if stored is None:
        _hand_over(config, ports, detector, known, entries)
    if stored is None or ports.ledger.read(config.name).revision != revision:
        publish_state(config, ports)
    _restore_champion_bundle(config, ports)
    copied = copy_entries(config, ports, detector, missing_entries(entries, known))
    sent = send_notices(config, ports)
    newest = entries[-1].record.window_end if entries else None
    stopped = _checks_stopped(config, ports, [cursor.since, *(entry.recorded_at for entry in entries)], now)
    sentence = _sentence(config, copied.records, newest, stopped=stopped)
    if stopped and not cursor.silence_notified:
        title = f"{config.name}: drift checks have stopped"
        notice = Notice(
            NoticeKind.CHECKS_STOPPED, config.name, title, sentence, story="checks_stopped", part="begin"
        )
        ports.notifier.notify(config.notify, notice)
    elif cursor.silence_notified and not stopped:
        ports.notifier.notify(config.notify, checks_run_again(config, sentence))
    full_sync_at = now if since is None else cursor.full_sync_at
    newest_window = min(now, newest) if newest else None
    save_cursor(ports.store, config.name, SyncCursor(cursor.since, full_sync_at, newest_window, stopped))
    return {
        "model": config.name,
        "window_end": newest.isoformat() if newest else "",
        "synced": len(copied.records),
        "notices": sent,
        "checks_stopped": stopped,
        "fired": False,
        "aliases": aliases,
        "sentence": sentence,
        "url": ports.registry.url(run_id=copied.run_id) if copied.run_id else "",
    }


def _since(config: ModelConfig, cursor: SyncCursor, now: datetime) -> datetime | None:
    """Return from when on records are compared; None (all of them) once a day."""
    if cursor.full_sync_at is None or cursor.newest_window is None:
        return None
    if now - cursor.full_sync_at >= _FULL_SYNC_EVERY:
        return None
    return cursor.newest_window - history_lookback(config)


def _hand_over(
    config: ModelConfig,
    ports: Ports,
    detector: DetectorHistory,
    known: Mapping[datetime, WindowRecord],
    entries: Sequence[Any],
) -> None:
    """Give the function what Airflow checked before, or it would not know of a cooldown.

    Only at the first run: later, what only MLflow has are manual checks, whose triggers are not sent. The
    triggers of these windows have already reached Airflow by the asset, so their receipts are written.
    """
    checked = {entry.record.window_end for entry in entries}
    now = ports.clock.now()
    for end in sorted(known.keys() - checked):
        if end < now - history_lookback(config):
            continue
        if known[end].fired:
            write_receipt(ports.store, config.name, known[end], now)
        detector.record(config.name, known[end], metrics={}, artifacts={})


def _restore_champion_bundle(config: ModelConfig, ports: Ports) -> None:
    """Fetch the champion's bundle from MLflow when the Store has lost it: the function cannot."""
    champion = ports.ledger.read(config.name).champion
    if champion is None:
        return
    try:
        load_reference(ports, config.name, champion.digest)
    except Unavailable:
        raise
    except HomeostatError as error:  # the records are worth copying all the same
        logger.warning("%s: the Lambda function has no reference to check against: %s", config.name, error)


def _checks_stopped(config: ModelConfig, ports: Ports, checked_at: Sequence[datetime], now: datetime) -> bool:
    """Whether there was no check for too long: since the last one, the promotion, or the first sync."""
    traffic = ports.ledger.read(config.name)
    if traffic.champion is None:
        return False
    last = max([*checked_at, *([traffic.promoted_at] if traffic.promoted_at else [])])
    return now - last > silent_after(config.monitor.every)


def _sentence(
    config: ModelConfig, copied: Sequence[WindowRecord], newest: datetime | None, *, stopped: bool
) -> str:
    last = f"the newest window ended at {newest:%Y-%m-%d %H:%M} UTC" if newest else "there was no check yet"
    if stopped:
        every, limit = format_duration(config.monitor.every), silent_after(config.monitor.every)
        return (
            f"{config.name}: no drift check for more than {describe_duration(limit)}, and monitor.every is "
            f"{every}; {last}. Check the Lambda function's log and its schedule in EventBridge Scheduler"
        )
    fired = sum(record.fired for record in copied)
    triggers = f", {fired} of them fired" if fired else ""
    return f"{config.name}: {len(copied)} new drift checks copied into MLflow{triggers}; {last}"
