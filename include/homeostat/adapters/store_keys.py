"""What may be a key of the store: a relative path that cannot leave it."""

from __future__ import annotations

import string

from homeostat.config.errors import Refused

MAX_KEY = 900  # S3 stops at 1024 bytes, the store's own prefix included
_ALLOWED = frozenset(string.ascii_letters + string.digits + "/._-=+@:, ()")


def check_key(key: str) -> str:
    """Give the key back when it is safe on every store.

    Raises
    ------
    Refused
        The key is empty, absolute, too long, has a part that is empty or starts with a dot, or holds
        a character that some store or file system reads as something else.
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


def folder_of(prefix: str) -> str:
    """Make a prefix end in a slash, or be empty: ``log`` means the folder, never ``logbook``."""
    stripped = prefix.strip("/")
    return f"{check_key(stripped)}/" if stripped else ""
