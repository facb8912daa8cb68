"""Triggers on their way to whoever retrains: fired windows in the history are what is to be sent.

A trigger that was sent leaves a receipt, triggers/<model>/<window_end>.json. Whoever dies between recording
a fired window and writing its receipt leaves the rest to the next check; what is sent twice that way counts
once, by the queue within five minutes and by the run id of its retrain for ever.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from homeostat.config import ModelConfig
from homeostat.core.trigger import RECALL, WindowRecord
from homeostat.monitoring.drift_check import lookback, trigger_id_of
from homeostat.ports import Ports, Store, TriggerMessage, Triggers


def send_fired(
    config: ModelConfig, ports: Ports, triggers: Triggers, *, window_end: datetime | None = None
) -> list[str]:
    """Send the trigger of every window that has fired lately and was not sent yet; returns their ids.

    Lately is as far as a check looks back from now, or from ``window_end``, the window that has just been
    checked, where that is longer ago: what is older nobody would retrain for today.
    """
    now = ports.clock.now()
    start = min(now, window_end or now) - lookback(config)
    history = ports.history.windows(config.name, since=start)
    sent = []
    for record in unsent(config, ports.store, history):
        message = message_for(config, record)
        triggers.send(message)
        leave_receipt(config, ports, record)
        sent.append(message.trigger_id)
    return sent


def unsent(config: ModelConfig, store: Store, history: Sequence[WindowRecord]) -> list[WindowRecord]:
    """Those of the windows that have fired and whose trigger has left no receipt."""
    fired = [record for record in history if record.fired]
    there = set(store.list(f"triggers/{config.name}")) if fired else set()
    return [record for record in fired if _receipt(config, record.window_end) not in there]


def leave_receipt(config: ModelConfig, ports: Ports, record: WindowRecord) -> None:
    """Write down that a window's trigger is on its way: it is not sent any more."""
    trigger_id = trigger_id_of(config, record.window_end)
    text = json.dumps({"trigger_id": trigger_id, "sent_at": ports.clock.now().isoformat()})
    ports.store.put(_receipt(config, record.window_end), text.encode(), overwrite=True)


def message_for(config: ModelConfig, record: WindowRecord) -> TriggerMessage:
    """What a window that has fired says to whoever retrains; the same as where Airflow checks by itself."""
    return TriggerMessage(
        model=config.name,
        trigger_id=trigger_id_of(config, record.window_end),
        window_end=record.window_end.isoformat(),
        reason=record.reason,
        recall=record.recall if record.reason == RECALL else "",
    )


def _receipt(config: ModelConfig, end: datetime) -> str:
    return f"triggers/{config.name}/{end.astimezone(UTC):%Y-%m-%dT%H%M%S.%f}.json"
