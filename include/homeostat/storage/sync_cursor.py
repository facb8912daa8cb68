"""How far a model's checks have been collected: collected/<model>.json, there while a detector checks it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from homeostat.config.errors import NotFound
from homeostat.ports import Store


@dataclass(frozen=True, slots=True)
class Mark:
    """What the last run left.

    ``since`` is when this model began to be collected, ``whole_at`` when everything was compared last,
    ``newest`` the newest window then, and ``silent`` whether people know that there are no checks.
    """

    since: datetime
    whole_at: datetime | None = None
    newest: datetime | None = None
    silent: bool = False


def load_mark(store: Store, model: str) -> Mark | None:
    """What the last run left; None before the first, or when that is lost."""
    try:
        raw = json.loads(store.get(_key(model)))
        at = {
            name: raw[name] and datetime.fromisoformat(raw[name]) for name in ("since", "whole_at", "newest")
        }
        return Mark(**at, silent=bool(raw.get("silent")))
    except (NotFound, ValueError, TypeError, KeyError, AttributeError):
        return None


def save_mark(store: Store, model: str, mark: Mark) -> None:
    """Leave it for the next run."""
    times = {"since": mark.since, "whole_at": mark.whole_at, "newest": mark.newest}
    raw = {name: at and at.isoformat() for name, at in times.items()} | {"silent": mark.silent}
    store.put(_key(model), json.dumps(raw).encode(), overwrite=True)


def drop_mark(store: Store, model: str) -> None:
    """The detector checks this model no more, and all is collected."""
    store.delete(_key(model))


def _key(model: str) -> str:
    return f"collected/{model}.json"
