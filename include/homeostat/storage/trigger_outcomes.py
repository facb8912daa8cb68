"""What became of the retrain of each fired window, found by the window.

    triggers/<model>/<window_end>.outcome.json

A copy of the retrain's outcome. A drift check knows windows, not run keys, and the Lambda function may read
this folder but not that of the retrains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from homeostat.config.errors import NotFound
from homeostat.core.trigger import RetrainEnd, WindowRecord
from homeostat.ports import Ports, Store
from homeostat.storage.champion_history import rollback_times
from homeostat.storage.parallel_map import parallel_map
from homeostat.storage.trigger_outbox import trigger_key


def save_trigger_outcome(store: Store, model: str, outcome: Mapping[str, Any]) -> None:
    """Store a retrain's outcome under the window that fired for it; does nothing for a manual retrain.

    The same end, recorded again by a task that runs twice, keeps its time. A run that was superseded never
    replaces what is stored: it may be the duplicate of a trigger whose retrain has ended.

    Parameters
    ----------
    outcome
        Plain JSON with ``outcome``, ``stage`` and ``trigger_id``, and where known ``run_key``, ``at``,
        ``version`` and ``inconclusive``.
    """
    end = window_of_trigger(model, str(outcome.get("trigger_id", "")))
    if end is None:
        return
    key = _outcome_key(model, end)
    known = _load(store, key)
    same = all(known.get(name) == outcome.get(name) for name in ("run_key", "outcome", "stage"))
    if known and (same or outcome["outcome"] == "superseded"):
        return
    store.put(key, json.dumps(outcome, indent=1, allow_nan=False).encode(), overwrite=True)


def past_retrains(ports: Ports, model: str, history: Sequence[WindowRecord]) -> dict[datetime, RetrainEnd]:
    """Return how the retrain of each fired window ended, by the end of the window.

    Left out are retrains that have not ended, and those of release 0.1, which stored no outcome.
    """
    ends = {_outcome_key(model, record.window_end): record.window_end for record in history if record.fired}
    if not ends:
        return {}
    keys = list(ends)  # read by their names: a list of all triggers grows
    stored = parallel_map(lambda key: _load(ports.store, key), keys)
    # A rollout that promoted began after its window; a day more for clocks that differ.
    since = min(ends.values()) - timedelta(days=1)
    rolled_back = rollback_times(ports.ledger, model, since) if any(stored) else {}
    found = {
        ends[key]: RetrainEnd.from_json(raw, rolled_back_at=rolled_back.get(raw.get("run_key", "")))
        for key, raw in zip(keys, stored, strict=True)
    }
    return {end: retrain for end, retrain in found.items() if retrain is not None}


def retrain_of_window(store: Store, model: str, end: datetime) -> str:
    """Return the run key of the retrain of this window that has ended; "" where there is none."""
    return str(_load(store, _outcome_key(model, end)).get("run_key", ""))


def window_of_trigger(model: str, trigger: str) -> datetime | None:
    """Return the end of the window that a trigger's id names; None for that of a manual retrain."""
    owner, _, end = trigger.partition("/")
    try:
        return datetime.fromisoformat(end) if owner == model else None
    except ValueError:
        return None


def _load(store: Store, key: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(store.get(key))
    except NotFound:
        return {}
    return found


def _outcome_key(model: str, end: datetime) -> str:
    return trigger_key(model, end, "outcome.json")
