"""Read request bodies in bounded memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from homeostat.serving.http.content_encoding import GzipDecoder, body_decoder
from homeostat.serving.scoring_request import BadRequest

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class ClientDisconnected(Exception):
    """The client left before its request was complete."""


class BodyReader:
    """Reads the bodies of one process, and bounds the memory of those that arrive in several parts.

    Parameters
    ----------
    max_body_bytes
        Limit of one body.
    max_held_bytes
        Limit of all incomplete bodies together.
    """

    def __init__(self, max_body_bytes: int, max_held_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._max_held_bytes = max_held_bytes
        #: Bytes of incomplete bodies.
        self.held_bytes = 0

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes:
        """Return the complete body, decompressed; the limits hold for it as sent and decompressed.

        Raises
        ------
        BadRequest
            413 for a body that is too large, 503 when incomplete bodies take too much memory, 415 for an
            unsupported Content-Encoding, 400 for data that is not gzip where it says so.
        ClientDisconnected
            The client left.
        """
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._max_body_bytes:
            raise self._too_large()
        decoder = body_decoder(headers, self._max_body_bytes)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        body: bytes = message.get("body", b"")
        if len(body) > self._max_body_bytes:
            raise self._too_large()
        sent = len(body)
        body = decoder.decode(body) if decoder else body
        if message.get("more_body"):
            body = await self._read_rest(body, receive, decoder, sent)
        if decoder:
            decoder.finish()
        return body

    async def _read_rest(
        self, first: bytes, receive: Receive, decoder: GzipDecoder | None, sent: int
    ) -> bytes:
        chunks, size, more = [first], len(first), True
        self.held_bytes += size
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                chunk: bytes = message.get("body", b"")
                more = bool(message.get("more_body"))
                sent += len(chunk)
                if sent > self._max_body_bytes:
                    raise self._too_large()
                chunk = decoder.decode(chunk) if decoder else chunk
                chunks.append(chunk)
                size += len(chunk)
                self.held_bytes += len(chunk)
                if self.held_bytes > self._max_held_bytes:
                    raise BadRequest("Too many large requests at the same time: try again later.", 503)
        finally:
            self.held_bytes -= size
        return b"".join(chunks)

    def _too_large(self) -> BadRequest:
        return BadRequest(f"The body is larger than {self._max_body_bytes} bytes: send fewer rows.", 413)
