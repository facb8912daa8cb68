"""Delete monitoring that is older than ``monitor.keep``, except what the history of a version needs."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from homeostat.config import ModelConfig, parse_duration
from homeostat.config.errors import HomeostatError, NotFound
from homeostat.config.model import Monitor, Trigger
from homeostat.core.retention import Retention
from homeostat.core.rollout import Traffic
from homeostat.monitoring.context import Timing, history_lookback
from homeostat.ports import History, Ports, RecordKind
from homeostat.storage.check_records import delete_checks
from homeostat.storage.parallel_map import parallel_map
from homeostat.storage.retrain_request import load_request
from homeostat.storage.trigger_outcomes import window_of_trigger

logger = logging.getLogger(__name__)

#: Runs of MLflow, and reports of the Store, that one run deletes of one model; the next run deletes more.
MAX_RUNS, MAX_REPORTS = 200, 2000


@dataclass(frozen=True, slots=True)
class RecordedTiming:
    """The settings of a model by which its last window was checked."""

    monitor: Monitor
    trigger: Trigger

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self | None:
        """Read them from the last window's record; None where one is missing, as in earlier releases."""
        try:
            every, window, keep, cooldown = (
                parse_duration(settings[name])
                for name in ("monitor.every", "monitor.window", "monitor.keep", "trigger.cooldown")
            )
            consecutive = int(settings["trigger.consecutive"])
        except (KeyError, ValueError):
            return None
        return cls(
            Monitor(every=every, window=window, keep=keep),
            Trigger(consecutive=consecutive, cooldown=cooldown),
        )


def delete_old_monitoring(
    models: Iterable[ModelConfig | tuple[str, str]], ports: Ports, more: Sequence[History] = ()
) -> dict[str, Any]:
    """Delete old monitoring of all models in the ledger; one that fails keeps no other from it.

    What is not deleted because of a fault, or of the limits of one run, is deleted by the next one.

    Parameters
    ----------
    models
        The models of this DAG file. Of others, and of those that cannot be read, the last check's record has
        the settings; without them they keep everything.
    more
        Histories besides that of the ports: the one that the Lambda function writes.

    Returns
    -------
    Plain JSON: the numbers of deleted ``runs``, ``reports`` and ``records``, of runs whose space was
    ``freed``, and ``failed`` with the error by model.
    """
    now = ports.clock.now()
    fleet = ports.ledger.fleet(now)
    found: dict[str, Any] = {"runs": 0, "reports": 0, "records": 0, "freed": 0, "failed": {}}
    known = {model.name: model for model in models if isinstance(model, ModelConfig)}
    for model, entry in fleet.items():
        newest = entry.newest.get(RecordKind.WINDOW)
        timing = known.get(model) or (RecordedTiming.of(newest.body.get("settings", {})) if newest else None)
        if newest is None or timing is None:
            continue
        try:
            for name, count in _delete(model, timing, ports, more, now, newest.at).items():
                found[name] += count
        except (HomeostatError, OSError, ValueError, KeyError) as error:
            logger.warning("%s: its old monitoring was not deleted: %s", model, error)
            found["failed"][model] = f"{type(error).__name__}: {error}"
    found["freed"] = ports.history.free_deleted()
    return found


def windows_of_versions(ports: Ports, model: str) -> set[datetime]:
    """Return the ends of the windows that started the retrains of this model's versions.

    Of the versions in the registry and of all that were champion: their stories are explained from the
    reports of these windows.
    """
    keys = {version.tags.get("homeostat.run_key", "") for version in ports.registry.versions(model)}
    for event in ports.ledger.champion_events(model, None, sys.maxsize):
        rollout = Traffic.from_json(dict(event.traffic)).rollout
        keys |= {rollout.id} if rollout is not None else set()
    ends = parallel_map(lambda key: _window_of(ports, model, key), sorted(keys - {""}))
    return {end for end in ends if end is not None}


def _window_of(ports: Ports, model: str, key: str) -> datetime | None:
    with suppress(NotFound):  # a manual promotion, or a retrain of another installation
        return window_of_trigger(model, load_request(ports.store, model, key).trigger_id)
    return None


def _delete(
    model: str, timing: Timing, ports: Ports, more: Sequence[History], now: datetime, newest: datetime
) -> dict[str, int]:
    retention = Retention.of(
        now,
        timing.monitor.keep,
        newest=newest,
        lookback=history_lookback(timing),
        kept=windows_of_versions(ports, model),
    )
    runs = [each.delete_old(model, retention, MAX_RUNS) for each in (ports.history, *more)]
    return {
        "runs": sum(runs),
        "reports": delete_checks(ports.store, model, retention, MAX_REPORTS),
        "records": ports.ledger.delete_windows(model, retention),
    }
