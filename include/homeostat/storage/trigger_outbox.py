"""Retrain triggers to send: the fired windows of the history that have no receipt yet.

    triggers/<model>/<window_end>.json

A sent trigger leaves a receipt under this key. A process that dies between recording a fired window and
writing its receipt leaves the trigger to the next check. A trigger that is sent twice this way counts once:
the queue drops a copy within five minutes, and afterwards its retrain's run key is known.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from homeostat.core.trigger import TriggerReason, WindowRecord
from homeostat.ports import Store, TriggerMessage
from homeostat.storage.parallel_map import parallel_map


def trigger_id(model: str, window_end: datetime) -> str:
    """Return the id of a window's trigger: the same however often the window is checked."""
    return f"{model}/{window_end.isoformat()}"


def unsent_triggers(store: Store, model: str, history: Sequence[WindowRecord]) -> list[WindowRecord]:
    """Return the fired windows that have no receipt."""
    fired = [record for record in history if record.fired]
    sent = parallel_map(lambda record: store.exists(trigger_key(model, record.window_end)), fired)
    return [record for record, known in zip(fired, sent, strict=True) if not known]


def write_receipt(store: Store, model: str, record: WindowRecord, sent_at: datetime) -> None:
    """Record that a window's trigger was sent, so that it is not sent again."""
    receipt = {"trigger_id": trigger_id(model, record.window_end), "sent_at": sent_at.isoformat()}
    store.put(trigger_key(model, record.window_end), json.dumps(receipt).encode(), overwrite=True)


def trigger_message(model: str, record: WindowRecord) -> TriggerMessage:
    """Return the message of a fired window; Airflow's own check emits the same fields."""
    reinstates = record.reason == TriggerReason.FORMER_VERSION_FITS
    return TriggerMessage(
        model=model,
        trigger_id=trigger_id(model, record.window_end),
        window_end=record.window_end.isoformat(),
        reason=record.reason,
        reinstate=record.reinstate if reinstates else "",
    )


def trigger_key(model: str, window_end: datetime, name: str = "json") -> str:
    """Return the Store key of what is kept about a window's trigger; by default its receipt."""
    return f"triggers/{model}/{window_end.astimezone(UTC):%Y-%m-%dT%H%M%S.%f}.{name}"
