"""A stream of bytes that are made from those of another one."""

from __future__ import annotations

import io
from abc import abstractmethod
from typing import Any

#: Bytes to read at a time.
READ = 2**20


class RewrittenStream(io.RawIOBase):
    """Hands out what :meth:`rewrite` makes of the stream's bytes, however much is asked for."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._ready = memoryview(b"")
        self._ended = False

    @abstractmethod
    def rewrite(self, more: bytes) -> bytes:
        """Return the bytes to hand out next, empty where more are needed; ``more`` is empty at the end."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return the number of bytes, 0 at the end."""
        while not self._ready and not self._ended:
            more = self._stream.read(READ)
            self._ended = not more
            self._ready = memoryview(self.rewrite(more))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size
