"""A queue of retrain triggers in memory, for tests; it keeps every promise of the real one."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from homeostat.adapters.clock import SystemClock
from homeostat.config.errors import Unavailable
from homeostat.ports import Clock, Delivery, TriggerMessage
from homeostat.storage.trigger_message import body_of

_ONCE = timedelta(minutes=5)


@dataclass(slots=True)
class _Held:
    """A message on the queue: unseen until ``hidden``, each delivery under a receipt of its own."""

    group: str
    body: str
    number: int
    hidden: datetime | None = None
    receipts: list[str] = field(default_factory=list)


class MemoryTriggers:
    """Triggers in a list, ``dead`` ones in another. Set ``down`` to see what an outage does."""

    def __init__(
        self, clock: Clock | None = None, *, visibility: timedelta = timedelta(hours=1), deliveries: int = 3
    ) -> None:
        self.down = False
        self.dead: list[str] = []
        self._clock = clock or SystemClock()
        self._visibility, self._deliveries = visibility, deliveries
        self._held: list[_Held] = []
        self._sent: dict[str, datetime] = {}
        self._numbered = 0
        self._lock = threading.Lock()

    def send(self, message: TriggerMessage) -> None:
        """See :meth:`homeostat.ports.Triggers.send`."""
        with self._lock:
            now = self._answer()
            before = self._sent.get(message.trigger_id)
            if before is None or now - before >= _ONCE:
                self._sent[message.trigger_id] = now
                self.put(message.model, body_of(message))

    def put(self, group: str, body: str) -> None:
        """Put any text on the queue, as somebody else might."""
        self._numbered += 1
        self._held.append(_Held(group, body, self._numbered))

    def receive(self, limit: int = 10) -> list[Delivery]:
        """See :meth:`homeostat.ports.Triggers.receive`."""
        found: list[Delivery] = []
        with self._lock:
            now = self._answer()
            busy = {held.group for held in self._held if held.hidden is not None and held.hidden > now}
            for held in list(self._held):
                if held.group in busy or len(found) >= limit:
                    continue
                if len(held.receipts) >= self._deliveries:
                    self._held.remove(held)
                    self.dead.append(held.body)
                    continue
                held.hidden = now + self._visibility
                held.receipts.append(f"{held.number}/{len(held.receipts) + 1}")
                found.append(Delivery(held.body, held.receipts[-1], len(held.receipts)))
        return found

    def delete(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.Triggers.delete`."""
        with self._lock:
            self._answer()
            self._held = [held for held in self._held if receipt not in held.receipts]

    def give_back(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.Triggers.give_back`."""
        with self._lock:
            self._answer()
            for held in self._held:
                if receipt in held.receipts:
                    held.hidden = None

    def _answer(self) -> datetime:
        if self.down:
            raise Unavailable("the triggers in memory were told to be down")
        return self._clock.now()
