"""Profiles as bytes: a versioned header and compressed JSON. Nothing in them can run."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

from homeostat.config.errors import DataError

MAX_BYTES = 64 * 1024 * 1024  # unpacked; a thousand features need about eight
_MAGIC = b"homeostat-profile"
_VERSION = b"1"


def canonical(body: Any) -> bytes:
    """The one way to write a body, so that equal contents have equal digests."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def digest(body: Any) -> str:
    """SHA-256 of the canonical form, in hex; compression does not enter into it."""
    return hashlib.sha256(canonical(body)).hexdigest()


def pack(kind: str, body: Any) -> bytes:
    """Header (``homeostat-profile 1 KIND``) and the compressed body."""
    return b" ".join((_MAGIC, _VERSION, kind.encode())) + b"\n" + zlib.compress(canonical(body), 6)


def unpack(kind: str, data: bytes) -> dict[str, Any]:
    """Read what :func:`pack` wrote.

    Raises
    ------
    DataError
        Other bytes, another kind, a format from a newer release, damaged, or larger unpacked than
        any profile is.
    """
    header, _, packed = data[:128].partition(b"\n")
    words = header.split(b" ")
    if len(words) != 3 or words[0] != _MAGIC:
        msg = f"these bytes are not a homeostat {kind}: they do not begin with {_MAGIC.decode()!r}"
        raise DataError(msg)
    if words[1] != _VERSION:
        msg = f"{kind} has format {words[1].decode(errors='replace')}, this release reads {_VERSION.decode()}"
        raise DataError(msg)
    if words[2] != kind.encode():
        msg = f"expected a {kind}, found a {words[2].decode(errors='replace')}"
        raise DataError(msg)
    packed = data[len(header) + 1 :]
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(packed, MAX_BYTES)
        if reader.unconsumed_tail:
            msg = f"{kind} is larger than {MAX_BYTES // 2**20} MB unpacked, which no profile is"
            raise DataError(msg)
        body = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        msg = f"{kind} is damaged ({error}): take it from the store again, or make it anew"
        raise DataError(msg) from None
    if not reader.eof or not isinstance(body, dict):
        msg = f"{kind} is cut short: take it from the store again, or make it anew"
        raise DataError(msg)
    return body
