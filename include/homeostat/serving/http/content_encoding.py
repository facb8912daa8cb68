"""Decompress request bodies, piece by piece and within their size limit."""

from __future__ import annotations

import zlib
from collections.abc import Mapping

from homeostat.serving.scoring_request import BadRequest

#: zlib's code for a gzip header and the largest window.
_GZIP = 16 + zlib.MAX_WBITS
#: A gzip file may be several files one after the other; each costs time, even when it is empty.
_MAX_MEMBERS = 100
_UNSUPPORTED = (
    "Unsupported Content-Encoding. Send the body with 'Content-Encoding: gzip', or without compression."
)


class GzipDecoder:
    """Decompresses one body; never holds more than ``max_bytes`` of it, however small it was sent.

    Parameters
    ----------
    max_bytes
        Limit of the decompressed body.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._size = 0
        self._members = 1
        self._member = zlib.decompressobj(_GZIP)

    def decode(self, data: bytes) -> bytes:
        """Return what the next piece decompresses to.

        Raises
        ------
        BadRequest
            400 for data that is not gzip, 413 beyond the limit.
        """
        pieces = []
        while data:
            if self._member.eof:
                self._next_member()
            try:
                piece = self._member.decompress(data, self._max_bytes - self._size + 1)
            except zlib.error:
                raise BadRequest("The body is not valid gzip, which its Content-Encoding says.") from None
            self._size += len(piece)
            if self._size > self._max_bytes:
                msg = f"The decompressed body is larger than {self._max_bytes} bytes: send fewer rows."
                raise BadRequest(msg, 413)
            pieces.append(piece)
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
        return b"".join(pieces)

    def finish(self) -> None:
        """Raise BadRequest (400) unless the data was complete."""
        if not self._member.eof:
            raise BadRequest("The body ends before its gzip data does: send all of it.")

    def _next_member(self) -> None:
        self._members += 1
        if self._members > _MAX_MEMBERS:
            msg = f"The body has more than {_MAX_MEMBERS} gzip members: compress it as one."
            raise BadRequest(msg)
        self._member = zlib.decompressobj(_GZIP)


def body_decoder(headers: Mapping[bytes, bytes], max_bytes: int) -> GzipDecoder | None:
    """Return the decoder of the request's Content-Encoding; None for a body that is not compressed.

    Raises
    ------
    BadRequest
        415 for any encoding but gzip, and for several.
    """
    sent = headers.get(b"content-encoding")
    if sent is None:
        return None
    names = [name.strip() for name in sent.decode("latin-1").lower().split(",")]
    names = [name for name in names if name not in ("", "identity")]
    if not names:
        return None
    if names not in (["gzip"], ["x-gzip"]):
        raise BadRequest(_UNSUPPORTED, 415)
    return GzipDecoder(max_bytes)
