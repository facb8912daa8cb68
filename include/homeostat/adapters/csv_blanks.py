"""Read files whose fields are separated by blanks: runs of blanks and tabs become one blank."""

from __future__ import annotations

import re
from typing import Any

from homeostat.adapters.rewritten_stream import RewrittenStream

#: No line of a CSV file may be longer.
MAX_LINE = 8 * 2**20
BLANK = " "
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


class SqueezedStream(RewrittenStream):
    """A stream of lines, each as :func:`squeeze` returns it."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._rest = b""

    def rewrite(self, more: bytes) -> bytes:
        """Return the whole lines so far; at the end also the last one."""
        self._rest += more
        cut = self._cut() if more else len(self._rest)
        lines, self._rest = self._rest[:cut], self._rest[cut:]
        return squeeze(lines)

    def _cut(self) -> int:
        """Return the end of the last line that closes its quotes, 0 when there is none yet."""
        cut = self._rest.rfind(b"\n") + 1
        if self._rest.count(b'"', 0, cut) % 2 and len(self._rest) < MAX_LINE:
            return 0
        return cut or (len(self._rest) if len(self._rest) >= MAX_LINE else 0)
