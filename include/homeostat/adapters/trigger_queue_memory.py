"""In-memory retrain trigger queue for tests; passes the same contract tests as the SQS adapter."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homeostat.adapters.clock import SystemClock
from homeostat.config.errors import Unavailable
from homeostat.ports import Clock, Delivery, TriggerMessage
from homeostat.storage.trigger_message import encode_trigger

_DEDUPLICATION = timedelta(minutes=5)


@dataclass(slots=True)
class _Message:
    """A message on the queue: invisible until ``hidden_until``; every delivery has its own receipt."""

    group: str
    body: str
    number: int
    hidden_until: datetime | None = None
    receipts: list[str] = field(default_factory=list)

    def hidden_at(self, now: datetime) -> bool:
        """Whether the message is in flight."""
        return self.hidden_until is not None and self.hidden_until > now


class MemoryTriggerQueue:
    """Messages in a list, dead letters in ``dead``. Set ``down`` to simulate an outage."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        visibility: timedelta = timedelta(hours=1),
        max_deliveries: int = 3,
    ) -> None:
        self.down = False
        self.dead: list[str] = []
        self._clock = clock or SystemClock()
        self._visibility, self._max_deliveries = visibility, max_deliveries
        self._messages: list[_Message] = []
        self._sent_at: dict[str, datetime] = {}
        self._count = 0
        self._lock = threading.Lock()

    def send(self, message: TriggerMessage) -> None:
        """See :meth:`homeostat.ports.TriggerQueue.send`."""
        with self._lock:
            now = self._now()
            before = self._sent_at.get(message.trigger_id)
            if before is None or now - before >= _DEDUPLICATION:
                self._sent_at[message.trigger_id] = now
                self.put(message.model, encode_trigger(message))

    def put(self, group: str, body: str) -> None:
        """Put raw text on the queue, as another sender could."""
        self._count += 1
        self._messages.append(_Message(group, body, self._count))

    def receive(self, limit: int = 10) -> list[Delivery]:
        """See :meth:`homeostat.ports.TriggerQueue.receive`."""
        found: list[Delivery] = []
        with self._lock:
            now = self._now()
            busy = {message.group for message in self._messages if message.hidden_at(now)}
            for message in list(self._messages):
                if message.group in busy or len(found) >= limit:
                    continue
                if len(message.receipts) >= self._max_deliveries:
                    self._messages.remove(message)
                    self.dead.append(message.body)
                    continue
                message.hidden_until = now + self._visibility
                message.receipts.append(f"{message.number}/{len(message.receipts) + 1}")
                found.append(Delivery(message.body, message.receipts[-1], len(message.receipts)))
        return found

    def delete(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.TriggerQueue.delete`."""
        with self._lock:
            self._now()
            self._messages = [message for message in self._messages if receipt not in message.receipts]

    def release(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.TriggerQueue.release`."""
        with self._lock:
            self._now()
            for message in self._messages:
                if receipt in message.receipts:
                    message.hidden_until = None

    def _now(self) -> datetime:
        """Return the current time; raise Unavailable while ``down``."""
        if self.down:
            raise Unavailable("the in-memory trigger queue is set to be down")
        return self._clock.now()
