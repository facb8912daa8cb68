"""Read the empty lines of a file of one column as missing values: apart from those at its end."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa

_READ = 2**20
_ENDS = b"\r\n"


def one_column_stream(stream: Any, encoding: str) -> Any:
    """Return the stream in UTF-8, without the line ends at its end."""
    if encoding != "utf-8":
        stream = pa.lib.transcoding_input_stream(stream, encoding, "utf-8")
    return io.BufferedReader(_TrimmedStream(stream), _READ)  # Arrow expects full reads


class _TrimmedStream(io.RawIOBase):
    """A stream that keeps line ends back until something follows them."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._held = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return the number of bytes, 0 at the end."""
        while not self._ready:
            more = self._stream.read(_READ)
            if not more:
                return 0
            kept = more.rstrip(_ENDS)
            if kept:
                self._ready = memoryview(self._held + kept)
                self._held = b""
            self._held += more[len(kept) :]
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size
