"""Keep the prediction logs of all models to a file an hour: what the daily maintenance does."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from homeostat.config import ModelConfig, parse_duration
from homeostat.config.errors import HomeostatError
from homeostat.ports import FleetEntry, Ports, RecordKind
from homeostat.storage.log_joining import join_log

logger = logging.getLogger(__name__)


def join_logs(models: Iterable[ModelConfig | tuple[str, str]], ports: Ports) -> dict[str, Any]:
    """Join the files of the logs of all models in the ledger; one that fails keeps no other from it.

    A model is left out while a rollout compares versions, because gateways then follow its files by name.

    Parameters
    ----------
    models
        The models of this DAG file. Of others, and of those that cannot be read, the last check's record
        says how long their windows are; without one they are left out.

    Returns
    -------
    Plain JSON: ``written`` and ``deleted`` files, ``waiting`` models, ``failed`` with the error by model.
    """
    now = ports.clock.now()
    windows = {model.name: model.monitor.window for model in models if isinstance(model, ModelConfig)}
    found: dict[str, Any] = {"written": 0, "deleted": 0, "waiting": [], "failed": {}}
    for name, entry in ports.ledger.fleet(now).items():
        window = windows.get(name) or _recorded_window(entry)
        rollout = entry.traffic.rollout
        until = rollout.reverse_shadow_until if rollout else None
        if window is None or entry.traffic.active is not None or (until is not None and until > now):
            found["waiting"].append(name)
            continue
        try:
            done = join_log(ports.store, name, window, now)
        except (HomeostatError, OSError, ValueError, KeyError) as error:
            logger.warning("%s: its log was not joined: %s", name, error)
            found["failed"][name] = f"{type(error).__name__}: {error}"
            continue
        found["written"] += done.written
        found["deleted"] += done.deleted
    return found


def _recorded_window(entry: FleetEntry) -> timedelta | None:
    newest = entry.newest.get(RecordKind.WINDOW)
    settings: Mapping[str, str] = newest.body["settings"] if newest else {}
    try:
        return parse_duration(settings.get("monitor.window"))
    except ValueError:
        return None
