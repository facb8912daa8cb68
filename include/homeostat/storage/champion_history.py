"""The champions of a model, one after the other, from the events of its ledger."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise

from homeostat.core.rollout import Traffic, VersionRef
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.ports import Event, Ledger

#: Events that are read first, to find the last champions; more where they do not hold enough of them.
_FIRST_READ = 64


def champion_changes(ledger: Ledger, model: str) -> list[tuple[Event, VersionRef]]:
    """Return each event at which the champion changed, with the new champion, oldest first."""
    return _changes(ledger.events(model))


def champions(ledger: Ledger, model: str) -> list[VersionRef]:
    """Return every champion in the order of promotion; one that was reinstated appears again."""
    return [champion for _, champion in champion_changes(ledger, model)]


def newest_champions(ledger: Ledger, model: str, count: int) -> list[VersionRef]:
    """Return the last ``count`` different champions, the newest first.

    The ledger is read back only as far as it takes to find them.
    """
    limit = _FIRST_READ
    while True:
        events = ledger.champion_events(model, None, limit)
        found = list(dict.fromkeys(champion for _, champion in reversed(_changes(events))))
        if len(found) >= count or len(events) < limit:
            return found[:count]
        limit *= 4


def rollback_times(ledger: Ledger, model: str, since: datetime | None = None) -> dict[str, datetime]:
    """Return when a champion was rolled back, by the id of the rollout that had promoted it.

    Rollouts that were promoted before ``since`` may be left out.
    """
    found: dict[str, datetime] = {}
    changes = _changes(ledger.champion_events(model, since, sys.maxsize))
    for (promoted, champion), (event, _) in pairwise(changes):
        rollout = Traffic.from_json(dict(promoted.traffic)).rollout
        if event.kind == EventKind.ROLLED_BACK and rollout is not None and rollout.candidate == champion:
            found[rollout.id] = event.at
    return found


def _changes(events: Iterable[Event]) -> list[tuple[Event, VersionRef]]:
    changes: list[tuple[Event, VersionRef]] = []
    for event in events:
        champion = Traffic.from_json(dict(event.traffic)).champion
        if champion is not None and (not changes or changes[-1][1] != champion):
            changes.append((event, champion))
    return changes
