"""No call to PostgreSQL lasts for ever: its socket is shut when the server says nothing for too long.

Neither libpq nor psycopg2 has a time limit for an answer. ``statement_timeout`` is the server's own and
does not help when the server, or the way to it, is gone without a word.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg2  # type: ignore[import-untyped]
import psycopg2.extensions as pg  # type: ignore[import-untyped]

#: The server gives up a statement, or the wait for a lock, before the client gives up the server.
LOCK_SECONDS, STATEMENT_SECONDS, CALL_SECONDS = 2.0, 4.0, 5.0
_LOOK_SECONDS = 0.5


class _Watch:
    """One thread for all connections of a process; it sleeps while no call is under way."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._ends: dict[Deadlined, float] = {}
        self._pid = 0

    @contextmanager
    def over(self, connection: Deadlined) -> Iterator[None]:
        """Let the block last :data:`CALL_SECONDS`; then the connection's socket is shut."""
        with self._lock:
            self._ensure_thread()
            if not self._ends:
                self._lock.notify()
            self._ends[connection] = time.monotonic() + CALL_SECONDS
        try:
            yield
        finally:
            with self._lock:
                self._ends.pop(connection, None)

    def _ensure_thread(self) -> None:
        if self._pid != os.getpid():  # threads do not survive a fork
            self._pid = os.getpid()
            self._ends.clear()
            threading.Thread(target=self._run, name="ledger-deadline", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._ends:
                    self._lock.wait()
                now = time.monotonic()
                # Under the lock: the connection is in its call, so that its socket is still its own.
                for connection in [each for each, end in self._ends.items() if end < now]:
                    del self._ends[connection]
                    connection.cut()
            time.sleep(_LOOK_SECONDS)


_WATCH = _Watch()


class _Cursor(pg.cursor):  # type: ignore[misc]  # it comes without types
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's own name
        with _WATCH.over(self.connection):
            super().execute(query, vars)


class Deadlined(pg.connection):  # type: ignore[misc]  # the same
    """A psycopg2 connection each of whose calls ends within :data:`CALL_SECONDS`.

    A call that took too long ends as one whose server closed the connection.
    """

    __hash__ = object.__hash__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = _Cursor
        with self.cursor() as cursor:
            cursor.execute(
                f"SET statement_timeout = {STATEMENT_SECONDS * 1e3:.0f};"
                f"SET lock_timeout = {LOCK_SECONDS * 1e3:.0f}"
            )
        self.commit()

    def commit(self) -> None:
        """Commit in time."""
        with _WATCH.over(self):
            super().commit()

    def rollback(self) -> None:
        """Roll back in time."""
        with _WATCH.over(self):
            super().rollback()

    def cut(self) -> None:
        """Shut the socket; whoever waits for it is told that the connection is gone."""
        with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(self.fileno())) as twin:
            twin.shutdown(socket.SHUT_RDWR)
