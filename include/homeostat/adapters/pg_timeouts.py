"""Time limits for PostgreSQL connections: libpq's own settings, and a watchdog for a silent server.

libpq bounds the connection attempt and detects a lost network; the server bounds statements and lock waits.
Neither ends a call to a server that stays connected and sends nothing, such as a stopped server process or a
hanging proxy: the peer's kernel still acknowledges data and keepalives. The watchdog closes the socket of
such a call.
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

#: The server ends a statement or a lock wait before the watchdog ends the call.
LOCK_SECONDS, STATEMENT_SECONDS, CALL_SECONDS = 2.0, 4.0, 5.0
#: libpq's connection parameters; the same parameter in the ledger's URL overrides one.
LIBPQ_SETTINGS = {
    "connect_timeout": 3,
    "keepalives": 1,
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": int(CALL_SECONDS * 1e3),
}
_CHECK_SECONDS = 0.5


class _Watchdog:
    """Closes the sockets of overdue calls; one thread per process, asleep while no call runs."""

    def __init__(self) -> None:
        self._wakeup = threading.Condition()
        self._deadlines: dict[TimedConnection, float] = {}
        self._pid = 0

    @contextmanager
    def limit(self, connection: TimedConnection) -> Iterator[None]:
        """Close the connection's socket when the block takes longer than :data:`CALL_SECONDS`."""
        with self._wakeup:
            if self._pid != os.getpid():  # threads do not survive a fork
                self._pid = os.getpid()
                self._deadlines.clear()
                threading.Thread(target=self._run, name="ledger-watchdog", daemon=True).start()
            self._deadlines[connection] = time.monotonic() + CALL_SECONDS
            self._wakeup.notify()
        try:
            yield
        finally:
            with self._wakeup:
                self._deadlines.pop(connection, None)

    def _run(self) -> None:
        while True:
            with self._wakeup:
                self._wakeup.wait_for(lambda: self._deadlines)
                now = time.monotonic()
                # Under the lock, so that the call is still running and the socket is still its own.
                for connection in [each for each, end in self._deadlines.items() if end < now]:
                    del self._deadlines[connection]
                    connection.shut_socket()
            time.sleep(_CHECK_SECONDS)


_WATCHDOG = _Watchdog()


class _TimedCursor(pg.cursor):  # type: ignore[misc]  # psycopg2 has no types
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  # psycopg2's parameter name
        with _WATCHDOG.limit(self.connection):
            super().execute(query, vars)


class TimedConnection(pg.connection):  # type: ignore[misc]  # psycopg2 has no types
    """A psycopg2 connection whose calls fail after :data:`CALL_SECONDS`, as after a disconnect."""

    __hash__ = object.__hash__

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.cursor_factory = _TimedCursor
        with self.cursor() as cursor:
            # Not by libpq's ``options``: poolers such as PgBouncer and RDS Proxy refuse that parameter.
            cursor.execute(
                f"SET statement_timeout = {STATEMENT_SECONDS * 1e3:.0f};"
                f"SET lock_timeout = {LOCK_SECONDS * 1e3:.0f}"
            )
        self.commit()

    def commit(self) -> None:
        """Commit within the time limit."""
        with _WATCHDOG.limit(self):
            super().commit()

    def rollback(self) -> None:
        """Roll back within the time limit."""
        with _WATCHDOG.limit(self):
            super().rollback()

    def shut_socket(self) -> None:
        """Shut the socket down, which ends a waiting call with an error."""
        with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(self.fileno())) as duplicate:
            duplicate.shutdown(socket.SHUT_RDWR)
