"""A service whose responses a test holds back and releases."""

from __future__ import annotations

import threading
from typing import Any


class Held:
    """Anything, whose calls (all of them, or those of these names) wait while it is shut.

    What is answered while :attr:`waiting` stays above 0 did not wait for that call, however long it took.
    """

    def __init__(self, real: Any, *names: str) -> None:
        self._real, self._names = real, names
        self._go_on, self._lock = threading.Event(), threading.Lock()
        self._go_on.set()
        self.waiting = 0

    def shut(self) -> None:
        self._go_on.clear()

    def open(self) -> None:
        self._go_on.set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if not callable(found) or (self._names and name not in self._names):
            return found

        def call(*args: Any, **more: Any) -> Any:
            if not self._go_on.is_set():
                self._count(1)
                self._go_on.wait(240)
                self._count(-1)
            return found(*args, **more)

        return call

    def _count(self, more: int) -> None:
        with self._lock:
            self.waiting += more
