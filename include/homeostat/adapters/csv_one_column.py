"""Read the empty lines of a file of one column as missing values: apart from those at its end."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa

from homeostat.adapters.rewritten_stream import READ, RewrittenStream

_ENDS = b"\r\n"


def one_column_stream(stream: Any, encoding: str) -> Any:
    """Return the stream in UTF-8, without the line ends at its end."""
    if encoding != "utf-8":
        stream = pa.lib.transcoding_input_stream(stream, encoding, "utf-8")
    return io.BufferedReader(_TrimmedStream(stream), READ)  # Arrow expects full reads


class _TrimmedStream(RewrittenStream):
    """A stream that keeps line ends back until something follows them."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._held = b""

    def rewrite(self, more: bytes) -> bytes:
        """Return the bytes without line ends at their end, after those that were kept back."""
        kept = more.rstrip(_ENDS)
        found = self._held + kept if kept else b""
        self._held = more[len(kept) :] if kept else self._held + more
        return found
