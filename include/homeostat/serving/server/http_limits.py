"""Connections that cannot be held for ever: deadlines and sizes that uvicorn's protocol does not know.

uvicorn closes a connection that is idle after an answer. One that sends nothing, its headers or its
body byte by byte, or never reads its answer it would keep for good. Here one look a second at every
connection finds those; the request itself pays two comparisons.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from homeostat.serving import responses as encode
from homeostat.serving.options import Options

LOOK_SECONDS = 1.0
#: Beyond so many times the limit a new connection is dropped without an answer.
_HARD = 2
#: How much more than its content a body may be on the wire: a chunk of one byte takes six.
_FRAMING = 8

_NOTHING_YET, _IDLE, _CLOSING = "nothing was sent yet", "idle", "closing"


def limited(options: Options) -> Callable[..., Connection]:
    """What to hand to uvicorn as ``http``; one for each server."""
    return functools.partial(Connection, crowd=Crowd(options))


class Crowd:
    """Every open connection of one server, and since when each keeps it waiting for the same thing."""

    def __init__(self, options: Options) -> None:
        self.seconds = options.receive_seconds
        self.most = options.max_connections
        self.header_bytes = options.max_header_bytes
        self.wire_bytes = options.max_header_bytes + _FRAMING * options.max_body_bytes
        self._open: dict[Connection, tuple[object, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """A connection was made."""
        self._open[connection] = (_NOTHING_YET, connection.loop.time())
        if self._timer is None:
            self._arm(connection.loop)

    def discard(self, connection: Connection) -> None:
        """A connection was lost."""
        self._open.pop(connection, None)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(min(LOOK_SECONDS, self.seconds / 4), self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection, (before, since) in list(self._open.items()):
            awaited = connection.awaited()
            if awaited is None or awaited is not before:
                self._open[connection] = (awaited, now)
            elif now - since >= self.seconds:
                connection.give_up()
        self._timer = None
        if self._open:
            self._arm(loop)


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with an end to its patience."""

    def __init__(self, *args: Any, crowd: Crowd, **more: Any) -> None:
        super().__init__(*args, **more)
        self._crowd = crowd
        self._counted: object = None
        self._wire = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a place, or be told that there is none."""
        super().connection_made(transport)
        self._crowd.add(self)
        if len(self._crowd) > _HARD * self._crowd.most:
            transport.abort()
        elif len(self._crowd) > self._crowd.most:
            self.app = _full

    def connection_lost(self, exc: Exception | None) -> None:
        """Free the place."""
        self._crowd.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; count what belongs to a request that is not whole yet."""
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.more_body or cycle.scope is not self.scope:
            self._count(len(data))

    def on_message_complete(self) -> None:
        """A request is whole; after an answer that came before it, the idle time begins only now."""
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
        """What only the client can bring on: one and the same object for as long as it is the same."""
        if self.transport.is_closing():
            return _CLOSING
        if self.scope is None:
            return _NOTHING_YET
        if self.flow.write_paused:
            return self.flow  # it does not read its answer
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

    def give_up(self) -> None:
        """End the connection, with an answer where one was asked for."""
        if self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
            return
        cycle = self.cycle
        if self.scope is not None and (self._in_headers() or not cycle.response_started):
            self._end(408, f"The request was not here whole within {self._crowd.seconds:g} s.")
        else:
            self.transport.close()

    def _in_headers(self) -> bool:
        return self.cycle is None or self.cycle.scope is not self.scope

    def _count(self, size: int) -> None:
        if self._counted is not self.scope:
            self._counted, self._wire = self.scope, 0
        self._wire += size
        if self.transport is None or self.transport.is_closing():
            return
        if self._in_headers():
            if self._wire > self._crowd.header_bytes:
                self._end(431, f"The headers are larger than {self._crowd.header_bytes} bytes.")
        elif self._wire > self._crowd.wire_bytes:
            self.transport.abort()

    def _end(self, status: int, sentence: str) -> None:
        body = encode.error(sentence, encode.CODES[status])
        head = (
            f"HTTP/1.1 {status} {_PHRASES[status]}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # the application is told that the client left
            cycle.message_event.set()
        self.transport.close()


_PHRASES = {408: "Request Timeout", 431: "Request Header Fields Too Large"}


async def _full(
    _scope: MutableMapping[str, Any],
    _receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer for every place that is not there."""
    body = encode.error("All of this gateway's connections are taken: try again.", encode.CODES[503])
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
