"""What Airflow's hourly run does for a model whose windows the detector checks, or has checked until now."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from homeostat.config import ModelConfig, format_duration
from homeostat.config.errors import ConfigError, HomeostatError, NotFound, Unavailable
from homeostat.core.trigger import WindowRecord
from homeostat.monitoring.drift_check import OVER_TIME, drift_over_time, look_at, lookback
from homeostat.monitoring.labelled_performance import newest_labelled
from homeostat.monitoring.trigger_outbox import leave_receipt, unsent
from homeostat.monitoring.version_comparison import standing
from homeostat.ports import History, Notice, Ports, Store
from homeostat.rollouts.alias_sync import mirror
from homeostat.storage.bundles import champions, load_reference
from homeostat.storage.model_state import load_published, publish
from homeostat.storage.sync_cursor import Mark, drop_mark, load_mark, save_mark

logger = logging.getLogger(__name__)

#: So many periods without a check are told.
SILENT_AFTER = 3
#: Once in so long, everything that the detector ever recorded is held against MLflow.
_WHOLE = timedelta(days=1)


class Seen(History, Protocol):
    """A history that can be copied: :class:`homeostat.adapters.history_store.StoreHistory`."""

    def entries(self, model: str, since: datetime | None = None) -> Sequence[Any]:
        """As ``windows``, in a form that ``read`` takes; each with its ``record`` and its ``recorded_at``."""

    def read(self, entry: Any) -> tuple[Mapping[str, float], Mapping[str, bytes]]:
        """Metrics and artifacts of a record."""


def collect(config: ModelConfig, ports: Ports, seen: Seen) -> dict[str, Any]:
    """Mirror and publish the ledger, and take over what the detector has left.

    It is given what was checked before it took over. Its records go into MLflow: those that MLflow lacks or
    has differently, oldest first, once. For each the champions of this model answer the newest labelled rows,
    as the detector loads no models. Its notices are told and removed. A champion's bundle that the store has
    lost is taken from MLflow again. Everything may be done again: a second run finds nothing to do.

    Parameters
    ----------
    seen
        The history that the detector writes, see :func:`homeostat.adapters.detector_history`.

    Returns
    -------
    Small, plain JSON: ``window_end`` (of the newest check, "" without one), ``collected`` (how many records),
    ``notices``, ``silent`` (the last check was made more than three periods ago; people are told once),
    ``fired`` (False: a trigger comes by the queue), ``sentence``, ``url`` (of the newest record copied, ""
    without one), and ``mirrored`` as :func:`homeostat.rollouts.alias_sync` says it.
    """
    known_there = load_mark(ports.store, config.name)
    if known_there is not None:
        publish(config, ports)  # at once: all that follows needs MLflow, which may be away
    mirrored = mirror(config, ports)
    now = ports.clock.now()
    mark = known_there or Mark(since=now)
    due = mark.whole_at is None or mark.newest is None or now - mark.whole_at >= _WHOLE
    since = None if due or mark.newest is None else mark.newest - lookback(config)
    entries = seen.entries(config.name, since)
    known = {record.window_end: record for record in ports.history.windows(config.name, since=since)}
    if known_there is None:  # what only MLflow has later on are checks by a person, which nobody hears of
        checked = {entry.record.window_end for entry in entries}
        before = [known[end] for end in sorted(known.keys() - checked) if end >= now - lookback(config)]
        _hand_over(config, ports, seen, before)
    if known_there is None or "by_hand" in mirrored:
        publish(config, ports)
    _bring_back(config, ports)
    news = [entry for entry in entries if known.get(entry.record.window_end) != entry.record]
    copied, run_id = _copy(config, ports, seen, news)
    told = _tell(config, ports)
    newest = entries[-1].record.window_end if entries else None
    silent = _silent(config, ports, [mark.since, *(entry.recorded_at for entry in entries)], now)
    sentence = _sentence(config, copied, newest, silent=silent)
    if silent and not mark.silent:
        title = f"{config.name} is not checked for drift any more"
        ports.notifier.notify(config.notify, Notice("silent", config.name, title, sentence))
    whole_at = now if since is None else mark.whole_at
    newest_seen = min(now, newest) if newest else None
    save_mark(ports.store, config.name, Mark(mark.since, whole_at, newest_seen, silent))
    return {
        "model": config.name,
        "window_end": newest.isoformat() if newest else "",
        "collected": len(copied),
        "notices": told,
        "silent": silent,
        "fired": False,
        "mirrored": mirrored,
        "sentence": sentence,
        "url": ports.registry.url(run_id=run_id) if run_id else "",
    }


def take_back(config: ModelConfig, ports: Ports, seen: Seen) -> int:
    """For a model that Airflow checks: where the detector did so until now, take it back.

    Publishes that it is to check no more, and collects what was not collected yet, without which nobody here
    would know of its last trigger. A window whose trigger never left counts as one that has not fired, so
    that the next check decides anew. Returns how many records were copied.
    """
    told = _told(config, ports.store)
    mark = load_mark(ports.store, config.name) if told else None
    if told == "lambda":
        if mark is None:  # it stands until all is collected
            mark = Mark(since=ports.clock.now())
            save_mark(ports.store, config.name, mark)
        publish(config, ports)
    if mark is None:
        return 0
    since = mark.newest and mark.newest - lookback(config)
    entries = seen.entries(config.name, since)
    lost = unsent(config, ports.store, [entry.record for entry in entries])
    left = [
        replace(entry, record=replace(entry.record, fired=False)) if entry.record in lost else entry
        for entry in entries
    ]
    known = {record.window_end: record for record in ports.history.windows(config.name, since=since)}
    news = [entry for entry in left if known.get(entry.record.window_end) != entry.record]
    copied, _ = _copy(config, ports, seen, news)
    _tell(config, ports)
    drop_mark(ports.store, config.name)
    return len(copied)


def _told(config: ModelConfig, store: Store) -> str:
    """Who checks this model by what was published of it; "" when nothing was."""
    try:
        return load_published(store, config.name).config.monitor.runs_on
    except NotFound:
        return ""
    except ConfigError:  # by another version of Homeostat, for a detector of that version
        return "lambda"


def _hand_over(config: ModelConfig, ports: Ports, seen: History, before: Sequence[WindowRecord]) -> None:
    """Give the detector what was checked before it took over, or it would know of no cooldown.

    The triggers of these windows were heard in Airflow, by the asset: they are not sent.
    """
    for record in before:
        if record.fired:
            leave_receipt(config, ports, record)
        seen.record(config.name, record, metrics={}, artifacts={})


def _copy(
    config: ModelConfig, ports: Ports, seen: Seen, news: Sequence[Any]
) -> tuple[list[WindowRecord], str]:
    """Copy these entries, oldest first, each once its duels are scored; with the last one's run id."""
    run_id = ""
    for entry in news:
        _score(config, ports, entry.record.window_end)
        metrics, artifacts = seen.read(entry)
        metrics = {**metrics, "fired": float(entry.record.fired)}
        if ports.pictures:
            picture = drift_over_time(config, ports.store, entry.record.window_end)
            artifacts = {**artifacts, OVER_TIME: picture}
        run_id = ports.history.record(config.name, entry.record, metrics=metrics, artifacts=artifacts)
    return [entry.record for entry in news], run_id


def _bring_back(config: ModelConfig, ports: Ports) -> None:
    """Where the store has lost the champion's bundle, take it from MLflow again: the detector cannot."""
    champion = ports.ledger.read(config.name).champion
    if champion is None:
        return
    try:
        load_reference(ports, config.name, champion.digest)
    except Unavailable:
        raise
    except HomeostatError as error:  # the rest is worth collecting all the same
        logger.warning("the detector has no reference of %s to check against: %s", config.name, error)


def _score(config: ModelConfig, ports: Ports, end: datetime) -> None:
    """Let former champions answer the newest labelled rows of this window; the next check adds them up."""
    champion = ports.ledger.read(config.name).champion
    if champion is None or len(champions(ports, config.name)) < 2:
        return
    looked = look_at(config, ports, champion)
    standing(looked, newest_labelled(looked, end), end)


def _tell(config: ModelConfig, ports: Ports) -> int:
    """Tell what the detector left, and remove it: told, and not yet removed, it is told again."""
    keys = ports.store.list(f"notices/{config.name}")
    for key in keys:
        try:
            notice = Notice(**json.loads(ports.store.get(key)))
        except NotFound:
            continue  # somebody else collects at the same moment
        except (ValueError, KeyError, TypeError) as error:
            logger.warning("%s is no notice and is removed: %s", key, error)
        else:
            ports.notifier.notify(config.notify, notice)
        ports.store.delete(key)
    return len(keys)


def _silent(config: ModelConfig, ports: Ports, checked: Sequence[datetime], now: datetime) -> bool:
    """Whether checks have stopped, or have not begun since there is something to check and somebody looks."""
    traffic = ports.ledger.read(config.name)
    if traffic.champion is None:
        return False
    last = max([*checked, *([traffic.promoted_at] if traffic.promoted_at else [])])
    return now - last > SILENT_AFTER * config.monitor.every


def _sentence(
    config: ModelConfig, copied: Sequence[WindowRecord], newest: datetime | None, *, silent: bool
) -> str:
    last = f"the last one ended at {newest:%Y-%m-%d %H:%M}" if newest else "there has been none yet"
    if silent:
        every = format_duration(config.monitor.every)
        return (
            f"{config.name}: SILENT: no drift check for more than {SILENT_AFTER} periods of {every} "
            f"({last}): look at the detector's log and at its schedule"
        )
    fired = [record for record in copied if record.fired]
    more = f", of which {len(fired)} fired" if fired else ""
    return f"{config.name}: {len(copied)} new drift checks copied into MLflow{more}; {last}"
