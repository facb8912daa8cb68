"""The champions of a model, one after the other, from the events of its ledger."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

from homeostat.core.rollout import Traffic, VersionRef
from homeostat.core.rollout.event_kinds import EventKind
from homeostat.ports import Event, Ledger


def champion_changes(ledger: Ledger, model: str) -> list[tuple[Event, VersionRef]]:
    """Return each event at which the champion changed, with the new champion, oldest first."""
    changes: list[tuple[Event, VersionRef]] = []
    for event in ledger.events(model):
        champion = Traffic.from_json(dict(event.traffic)).champion
        if champion is not None and (not changes or changes[-1][1] != champion):
            changes.append((event, champion))
    return changes


def champions(ledger: Ledger, model: str) -> list[VersionRef]:
    """Return every champion in the order of promotion; one that was reinstated appears again."""
    return [champion for _, champion in champion_changes(ledger, model)]


def rollback_times(ledger: Ledger, model: str) -> dict[str, datetime]:
    """Return when a champion was rolled back, by the id of the rollout that had promoted it."""
    found: dict[str, datetime] = {}
    for (promoted, champion), (event, _) in pairwise(champion_changes(ledger, model)):
        rollout = Traffic.from_json(dict(promoted.traffic)).rollout
        if event.kind == EventKind.ROLLED_BACK and rollout is not None and rollout.candidate == champion:
            found[rollout.id] = event.at
    return found
