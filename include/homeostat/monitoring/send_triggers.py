"""Send the retrain triggers of fired windows to the queue."""

from __future__ import annotations

from datetime import datetime

from homeostat.config import ModelConfig
from homeostat.monitoring.context import history_lookback
from homeostat.ports import Ports, TriggerQueue
from homeostat.storage.trigger_outbox import trigger_message, unsent_triggers, write_receipt


def send_triggers(
    config: ModelConfig, ports: Ports, triggers: TriggerQueue, *, window_end: datetime | None = None
) -> list[str]:
    """Send the trigger of every recently fired window that was not sent yet; return their ids.

    Recent is what a check looks back on, from now or from ``window_end`` (the window just checked) if that is
    earlier. Older triggers are not worth a retrain today.
    """
    now = ports.clock.now()
    start = min(now, window_end or now) - history_lookback(config)
    history = ports.history.windows(config.name, since=start)
    sent = []
    for record in unsent_triggers(ports.store, config.name, history):
        message = trigger_message(config.name, record)
        triggers.send(message)
        write_receipt(ports.store, config.name, record, ports.clock.now())
        sent.append(message.trigger_id)
    return sent
