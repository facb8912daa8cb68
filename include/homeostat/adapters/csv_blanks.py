"""Read files whose fields are separated by blanks: runs of blanks and tabs become one blank."""

from __future__ import annotations

import io
import re
from typing import Any

#: No line of a CSV file may be longer.
MAX_LINE = 8 * 2**20
BLANK = " "
_READ = 2**20
_RUN = re.compile(rb"[ \t]+")
_EDGE = re.compile(rb"^ | (?=\r?$)", re.MULTILINE)
#: Blanks in a field in double quotes are its own.
_QUOTED_RUN = re.compile(
    rb'(?P<quoted>(?<![^ \t\r\n])"[^"]*(?:""[^"]*)*")|(?P<edge>^[ \t]+|[ \t]+(?=\r?$))|[ \t]+', re.MULTILINE
)


def squeeze(lines: bytes) -> bytes:
    """Return whole lines with one blank between fields, and none at the beginning or the end."""
    if b'"' not in lines:
        return _EDGE.sub(b"", _RUN.sub(b" ", lines))
    return _QUOTED_RUN.sub(lambda m: m[0] if m["quoted"] else b"" if m["edge"] is not None else b" ", lines)


class SqueezedStream(io.RawIOBase):
    """A stream of lines, each as :func:`squeeze` returns it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._rest = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer; return the number of bytes, 0 at the end."""
        while not self._ready:
            more = self._stream.read(_READ)
            if not more and not self._rest:
                return 0
            self._rest += more
            cut = self._cut() if more else len(self._rest)
            self._ready = memoryview(squeeze(self._rest[:cut]))
            self._rest = self._rest[cut:]
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def _cut(self) -> int:
        """Return the end of the last line that closes its quotes, 0 when there is none yet."""
        cut = self._rest.rfind(b"\n") + 1
        if self._rest.count(b'"', 0, cut) % 2 and len(self._rest) < MAX_LINE:
            return 0
        return cut or (len(self._rest) if len(self._rest) >= MAX_LINE else 0)
