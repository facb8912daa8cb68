"""Time and size limits of connections that uvicorn does not have.

uvicorn closes a connection that is idle after a response. It never closes one that sends nothing, sends its
headers or body byte by byte, or does not read its response. Here every connection is checked once a second.

The headers of a complete request are measured exactly. Those of an incomplete one are measured by the bytes
that have come, without those that came together with the end of the request before: pipelined requests share
no limit.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, MutableMapping
from itertools import chain
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homeostat.serving import responses
from homeostat.serving.options import Options

CHECK_SECONDS = 1.0
#: Beyond this multiple of the limit a new connection is dropped without a response.
_DROP_FACTOR = 2
#: How much larger than its content a chunked body may be: a chunk of one byte takes six.
_CHUNK_OVERHEAD = 8
#: Headers of one request, whatever their size; browsers and proxies send fewer than a hundred.
MAX_HEADERS = 1_000
#: What a header takes on the wire besides name and value.
_HEADER_OVERHEAD = len(": \r\n")

_NO_REQUEST, _IDLE, _CLOSING = "no request yet", "idle", "closing"


def limited_protocol(options: Options) -> Callable[..., Connection]:
    """Return the protocol class for uvicorn's ``http`` parameter; one per server."""
    return functools.partial(Connection, tracker=ConnectionTracker(options))


class ConnectionTracker:
    """The open connections of one server, what each waits for from its client, and since when."""

    def __init__(self, options: Options) -> None:
        self.receive_seconds = options.receive_seconds
        self.max_connections = options.max_connections
        self.reject_headers = _rejection(431, _headers_too_large(options.max_header_bytes))
        self.header_bytes = options.max_header_bytes
        self.wire_bytes = options.max_header_bytes + _CHUNK_OVERHEAD * options.max_body_bytes
        self._open: dict[Connection, tuple[object, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Start tracking a new connection."""
        self._open[connection] = (_NO_REQUEST, connection.loop.time())
        if self._timer is None:
            self._schedule_check(connection.loop)

    def discard(self, connection: Connection) -> None:
        """Stop tracking a closed connection."""
        self._open.pop(connection, None)

    def _schedule_check(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(min(CHECK_SECONDS, self.receive_seconds / 4), self._check, loop)

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection, (before, since) in list(self._open.items()):
            awaited = connection.awaited()
            if awaited is None or awaited is not before:
                self._open[connection] = (awaited, now)
            elif now - since >= self.receive_seconds:
                connection.time_out()
        self._timer = None
        if self._open:
            self._schedule_check(loop)


class Connection(HttpToolsProtocol):
    """uvicorn's connection with time and size limits."""

    def __init__(self, *args: Any, tracker: ConnectionTracker, **more: Any) -> None:
        super().__init__(*args, **more)
        self._tracker = tracker
        self._counted_scope: object = None
        self._wire_bytes = 0
        self._completed = False  # a request ended within the data that is being parsed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Accept the connection if there is room: otherwise answer 503, or drop it far beyond the limit."""
        super().connection_made(transport)
        self._tracker.add(self)
        if len(self._tracker) > _DROP_FACTOR * self._tracker.max_connections:
            transport.abort()
        elif len(self._tracker) > self._tracker.max_connections:
            self.app = _reject_full

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop tracking the connection."""
        self._tracker.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data; count the bytes of a request that is not complete."""
        self._completed = False
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.scope is not self.scope:
            self._count_bytes(0 if self._completed else len(data))

    def on_headers_complete(self) -> None:
        """Start the request, or answer 431 to headers that are too large or too many."""
        if len(self.headers) <= MAX_HEADERS and self._header_bytes() <= self._tracker.header_bytes:
            super().on_headers_complete()
            return
        app, self.app = self.app, self._tracker.reject_headers
        try:
            super().on_headers_complete()
        finally:
            self.app = app

    def _header_bytes(self) -> int:
        """Return the size of the current request's headers and URL on the wire."""
        size = sum(map(len, chain.from_iterable(self.headers)))
        return len(self.url) + size + _HEADER_OVERHEAD * len(self.headers)

    def on_message_complete(self) -> None:
        """Handle a complete request; after an early response, the idle time starts only now."""
        self._completed = True
        cycle = self.cycle
        if not cycle.response_complete:
            super().on_message_complete()
            return
        cycle.more_body = False
        if not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def awaited(self) -> object:
        """Return what the client must do next (the same object while it is the same), or None."""
        if self.transport.is_closing():
            return _CLOSING
        if self.scope is None:
            return _NO_REQUEST
        if self.flow.write_paused:
            return self.flow  # the client does not read its response
        return None if self._our_turn() else self._unfinished()

    def _our_turn(self) -> bool:
        cycle = self.cycle
        if self.pipeline or self.flow.read_paused:
            return True
        return cycle is not None and not cycle.more_body and not cycle.response_complete

    def _unfinished(self) -> object:
        if self._in_headers() or self.cycle.more_body:
            return self.scope
        return _IDLE if self.timeout_keep_alive_task is None else None

    def time_out(self) -> None:
        """Close the connection, with 408 if a request was begun."""
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
            return
        cycle = self.cycle
        if self.scope is not None and (self._in_headers() or not cycle.response_started):
            self._respond_and_close(
                408, f"The request was not complete within {self._tracker.receive_seconds:g} s."
            )
        else:
            self.transport.close()

    def _in_headers(self) -> bool:
        return self.cycle is None or self.cycle.scope is not self.scope

    def _count_bytes(self, size: int) -> None:
        if self._counted_scope is not self.scope:
            self._counted_scope, self._wire_bytes = self.scope, 0
        self._wire_bytes += size
        if self.transport is None or self.transport.is_closing():
            return
        if self._in_headers():
            if self._wire_bytes > self._tracker.header_bytes:
                self._respond_and_close(431, _headers_too_large(self._tracker.header_bytes))
        elif self._wire_bytes > self._tracker.wire_bytes or len(self.headers) > 2 * MAX_HEADERS:
            self.transport.abort()  # the body is too large, or headers follow it without end

    def _respond_and_close(self, status: int, message: str) -> None:
        body = responses.error(message, responses.CODES[status])
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # the application sees a client that has left
            cycle.message_event.set()
        self.transport.close()


_PHRASES = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


def _headers_too_large(limit: int) -> str:
    return f"The headers are larger than {limit} bytes, or more than {MAX_HEADERS}."


def _rejection(status: int, message: str, *more: tuple[bytes, bytes]) -> _App:
    """Return an application that answers every request with this error and closes the connection."""
    body = responses.error(message, responses.CODES[status])
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *more,
        (b"connection", b"close"),
    ]

    async def reject(
        _scope: MutableMapping[str, Any],
        _receive: Callable[[], Awaitable[Any]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return reject


_App = Callable[..., Awaitable[None]]
#: The connection limit is reached.
_reject_full = _rejection(503, "Too many open connections: try again later.", (b"retry-after", b"1"))
