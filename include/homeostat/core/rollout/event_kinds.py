"""Kinds of ledger events: a word for programs and a sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class EventKind(StrEnum):
    """What a transition does to a model's traffic. The values are stored in the ledger."""

    BEGUN = "begun"
    SHADOW = "shadow"
    CANARY = "canary"
    WAITING = "waiting"
    EXTENDED = "extended"
    CLOCK_RESET = "clock_reset"
    APPROVED = "approved"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    UNCHANGED = "unchanged"

    @classmethod
    def _missing_(cls, value: object) -> EventKind | None:
        return cls(_OLD_NAMES[value]) if value in _OLD_NAMES else None


# Read what release 0.1 wrote.
_OLD_NAMES: dict[object, str] = {"clock": "clock_reset"}

#: The sentence of each kind.
EVENT_SENTENCES: Mapping[EventKind, str] = {
    EventKind.BEGUN: "A candidate was registered for a rollout; it gets no traffic yet.",
    EventKind.SHADOW: "The candidate entered shadow: it gets copies of the champion's requests.",
    EventKind.CANARY: "The candidate entered a canary step and serves that step's share (canary.steps).",
    EventKind.WAITING: "The canary passed; a person must approve the promotion (approval: required).",
    EventKind.EXTENDED: "The phase was extended once by its own duration: there is not enough evidence.",
    EventKind.CLOCK_RESET: "A clock was set back; the duration of the phase is measured from now on.",
    EventKind.APPROVED: "A person approved the candidate before its canary was over.",
    EventKind.PROMOTED: "The version became champion.",
    EventKind.ROLLED_BACK: "The candidate lost its share, or the previous champion was restored.",
    EventKind.UNCHANGED: "The requested state was already in force; nothing is written.",
}

#: Kinds that never change the champion, under their names of every release.
SAME_CHAMPION = frozenset(
    {
        *(EventKind.BEGUN, EventKind.SHADOW, EventKind.CANARY, EventKind.WAITING, EventKind.EXTENDED),
        *(EventKind.CLOCK_RESET, EventKind.APPROVED, EventKind.UNCHANGED, *map(str, _OLD_NAMES)),
    }
)
#: Kinds that move a candidate forward. None is written while a gateway's prediction log drops rows.
ADVANCING = frozenset({EventKind.SHADOW, EventKind.CANARY, EventKind.WAITING, EventKind.PROMOTED})
