"""Ledger events, notices and triggers: their words and fields."""

from __future__ import annotations

from dataclasses import fields

from md_tables import table

from homeostat.core.rollout.event_kinds import EVENT_SENTENCES, EventKind
from homeostat.core.trigger.reasons import SENTENCES, TriggerReason
from homeostat.ports import Event, Notice, NoticeKind, TriggerMessage


def ledger() -> str:
    """Return the kinds of events in the ledger, and the fields of one."""
    kinds = table(("kind", "meaning"), [(f"`{kind.value}`", EVENT_SENTENCES[kind]) for kind in EventKind])
    return f"{kinds}\nEach has the fields {_names(Event)}.\n"


def notices() -> str:
    """Return the kinds of notices, and the fields of one."""
    kinds = ", ".join(f"`{kind.value}`" for kind in NoticeKind)
    return f"Kinds: {kinds}.\n\nEach has the fields {_names(Notice)}.\n"


def triggers() -> str:
    """Return the fields of a trigger and the reasons that it can have."""
    reasons = table(
        ("reason", "sentence"), [(f"`{reason.value}`", f"`{SENTENCES[reason]}`") for reason in TriggerReason]
    )
    return f"Fields: {_names(TriggerMessage)}.\n\n{reasons}"


def _names(kind: type) -> str:
    return ", ".join(f"`{each.name}`" for each in fields(kind))
