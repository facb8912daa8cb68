"""Profiles as bytes: a versioned header and a compressed body. The bytes hold no code.

Format 1 is JSON. Format 2 is one line of JSON and then integers: counts of profiles are read most often,
and this format reads ten times faster than JSON.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from homeostat.config.errors import DataError
from homeostat.core.profile.coerce import Ints

MAX_BYTES = 64 * 1024 * 1024  # unpacked; a thousand features need about eight
_MAGIC = b"homeostat-profile"
_JSON, _COUNTS = "1", "2"
#: The kind of stored edges, as release 0.1 wrote it.
EDGES = "frames"
#: Bytes per count, and their type: the narrowest that holds the largest count.
_WIDTHS = {1: "<u1", 2: "<u2", 4: "<u4", 8: "<i8"}


def canonical(body: Any) -> bytes:
    """Return a body in its canonical form: equal contents have equal bytes and digests."""
    return json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def digest(body: Any) -> str:
    """Return the SHA-256 of the canonical form, in hex; it does not depend on the compression."""
    return hashlib.sha256(canonical(body)).hexdigest()


def pack(kind: str, body: Any) -> bytes:
    """Return the header (``homeostat-profile 1 KIND``) and the compressed body."""
    return _header(kind, _JSON) + zlib.compress(canonical(body), 6)


def pack_counts(kind: str, head: Mapping[str, Any], counts: Ints) -> bytes:
    """Return the header (``homeostat-profile 2 KIND``), and compressed: ``head`` on a line, then the counts.

    Parameters
    ----------
    head
        Plain JSON; the key ``width`` is reserved.
    counts
        Not negative, shape (n,). Written in byte planes, all lowest bytes first, which compresses best.
    """
    largest = int(counts.max(initial=0))
    width = next(width for width in _WIDTHS if width == 8 or largest < 256**width)
    planes = counts.astype(_WIDTHS[width]).view(np.uint8).reshape(-1, width).T
    body = canonical({**head, "width": width}) + b"\n" + planes.tobytes()
    return _header(kind, _COUNTS) + zlib.compress(body, 1)


def unpack(kind: str, data: bytes) -> dict[str, Any]:
    """Read what :func:`pack` wrote.

    Raises
    ------
    DataError
        Other bytes, another kind, a format of a newer release, damaged bytes, or more than ``MAX_BYTES``
        unpacked.
    """
    version_of(kind, data, known=(_JSON,))
    return _parse(kind, _inflate(kind, data))


def unpack_counts(kind: str, data: bytes) -> tuple[dict[str, Any], Ints]:
    """Return the head and the counts that :func:`pack_counts` wrote; DataError as :func:`unpack`."""
    version_of(kind, data, known=(_COUNTS,))
    line, _, body = _inflate(kind, data).partition(b"\n")
    head = _parse(kind, line)
    width = head.pop("width", None)
    if type(width) is not int or width not in _WIDTHS or len(body) % width:
        raise _damaged(kind, f"counts of {width!r} bytes")
    planes = np.frombuffer(body, np.uint8).reshape(width, -1)
    counts = np.ascontiguousarray(planes.T).view(_WIDTHS[width]).reshape(-1).astype(np.int64)
    return head, counts


def version_of(kind: str, data: bytes, *, known: Sequence[str] = (_JSON, _COUNTS)) -> str:
    """Return the format of these bytes; DataError unless it is a known one, of this kind."""
    words = data[:128].partition(b"\n")[0].split(b" ")
    if len(words) != 3 or words[0] != _MAGIC:
        msg = f"these bytes are not a homeostat {kind}: they do not begin with {_MAGIC.decode()!r}"
        raise DataError(msg)
    version, found = (word.decode(errors="replace") for word in words[1:])
    if version not in known:
        msg = f"{kind} has format {version}, this release reads {' and '.join(known)}"
        raise DataError(msg)
    if found != kind:
        msg = f"expected a {kind}, found a {found}"
        raise DataError(msg)
    return version


def _header(kind: str, version: str) -> bytes:
    return b" ".join((_MAGIC, version.encode(), kind.encode())) + b"\n"


def _inflate(kind: str, data: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        body = reader.decompress(data.partition(b"\n")[2], MAX_BYTES)
    except zlib.error as error:
        raise _damaged(kind, error) from None
    if reader.unconsumed_tail:
        msg = f"{kind} is larger than {MAX_BYTES // 2**20} MB unpacked: this is not a profile of Homeostat"
        raise DataError(msg)
    if not reader.eof:
        raise _cut_short(kind)
    return body


def _parse(kind: str, text: bytes) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(kind, error) from None
    if not isinstance(body, dict):
        raise _cut_short(kind)
    return body


def _damaged(kind: str, error: object) -> DataError:
    return DataError(f"{kind} is damaged ({error}): copy it from the store again, or create it again")


def _cut_short(kind: str) -> DataError:
    return DataError(f"{kind} is truncated: copy it from the store again, or create it again")
