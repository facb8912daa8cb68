"""What was sent about a model, which stories are open, and which notices wait, in the Store.

    notices_sent/<model>.json

Two processes that write it at once may lose one entry: then a message comes twice, and none is lost.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from homeostat.config.errors import NotFound
from homeostat.ports import Notice, Store

#: Names of notices that are sent once are kept so long.
_KEPT = timedelta(days=90)


@dataclass(slots=True)
class OpenStory:
    """A story that has begun: when, with which sentence, and what came since."""

    began: str
    body: str
    between: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """A notice that waits for the end of the quiet hours, and the connections that it is for."""

    at: datetime
    targets: tuple[str, ...]
    notice: Notice


@dataclass(slots=True)
class NoticeRecord:
    """The record of one model."""

    open: dict[str, OpenStory] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "open": {name: asdict(story) for name, story in self.open.items()},
            "sent": self.sent,
            "held": [
                {"at": h.at.isoformat(), "targets": h.targets, "notice": asdict(h.notice)} for h in self.held
            ],
        }


def load_record(store: Store, model: str) -> NoticeRecord:
    """Return the record of a model; an empty one where there is none, or where it cannot be read."""
    try:
        raw = json.loads(store.get(_key(model)))
        return NoticeRecord(
            {name: OpenStory(**story) for name, story in raw["open"].items()},
            dict(raw["sent"]),
            [
                Held(datetime.fromisoformat(h["at"]), tuple(h["targets"]), Notice.from_json(h["notice"]))
                for h in raw["held"]
            ],
        )
    except (NotFound, ValueError, KeyError, TypeError, AttributeError):
        return NoticeRecord()


def save_record(store: Store, model: str, record: NoticeRecord, now: datetime) -> None:
    """Store the record, without names that are older than 90 days."""
    record.sent = {name: at for name, at in record.sent.items() if at >= (now - _KEPT).isoformat()}
    store.put(_key(model), json.dumps(record.to_json()).encode(), overwrite=True)


def _key(model: str) -> str:
    return f"notices_sent/{model}.json"
