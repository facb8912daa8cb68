"""Validation of store keys: relative paths that cannot leave the store."""

from __future__ import annotations

import string

from homeostat.config.errors import Refused

MAX_KEY = 900  # S3 allows 1024 bytes, the store's prefix included
_ALLOWED = frozenset(string.ascii_letters + string.digits + "/._-=+@:, ()")


def check_key(key: str) -> str:
    """Return the key when it is valid on every store.

    Raises
    ------
    Refused
        The key is empty, absolute or too long, has a part that is empty or starts with a dot, or holds
        a character with a special meaning on some store or file system.
    """
    parts = key.split("/")
    if (
        not key
        or len(key) > MAX_KEY
        or any(not part or part.startswith(".") for part in parts)
        or not _ALLOWED.issuperset(key)
    ):
        msg = f"{key[:100]!r} cannot be a key of the store: expected a path such as 'bundles/pump/ab12.bin'"
        raise Refused(msg)
    return key


def folder_prefix(prefix: str) -> str:
    """Return the prefix with a trailing slash, or "": ``log`` matches ``log/x``, not ``logbook``."""
    stripped = prefix.strip("/")
    return f"{check_key(stripped)}/" if stripped else ""
