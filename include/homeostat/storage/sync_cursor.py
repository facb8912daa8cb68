"""How far the Lambda function's checks of a model have been copied into MLflow: collected/<model>.json.

The file exists while the function checks the model (``monitor.runs_on: lambda``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from homeostat.config.errors import NotFound
from homeostat.ports import Store

#: Each key, and what release 0.1 called it.
_TIMES = {"since": "since", "full_sync_at": "whole_at", "newest_window": "newest"}
_NOTIFIED, _OLD_NOTIFIED = "silence_notified", "silent"


@dataclass(frozen=True, slots=True)
class SyncCursor:
    """The state that one run of the sync leaves for the next.

    ``since`` is when the sync of this model began, ``full_sync_at`` when all records were last compared,
    ``newest_window`` the end of the newest window at that time. ``silence_notified`` says that a notice was
    sent because checks had stopped.
    """

    since: datetime
    full_sync_at: datetime | None = None
    newest_window: datetime | None = None
    silence_notified: bool = False


def load_cursor(store: Store, model: str) -> SyncCursor | None:
    """Return the cursor; None before the first run, or when the file is missing or damaged."""
    try:
        raw = json.loads(store.get(_key(model)))
        times = {name: raw[name] if name in raw else raw[old] for name, old in _TIMES.items()}
        at = {name: text and datetime.fromisoformat(text) for name, text in times.items()}
        return SyncCursor(**at, silence_notified=bool(raw.get(_NOTIFIED, raw.get(_OLD_NOTIFIED))))
    except (NotFound, ValueError, TypeError, KeyError, AttributeError):
        return None


def save_cursor(store: Store, model: str, cursor: SyncCursor) -> None:
    """Store the cursor for the next run."""
    times = {name: getattr(cursor, name) for name in _TIMES}
    raw = {name: at and at.isoformat() for name, at in times.items()}
    raw |= {_NOTIFIED: cursor.silence_notified}
    store.put(_key(model), json.dumps(raw).encode(), overwrite=True)


def delete_cursor(store: Store, model: str) -> None:
    """Delete the cursor: the function no longer checks this model and all records are copied."""
    store.delete(_key(model))


def _key(model: str) -> str:
    return f"collected/{model}.json"
