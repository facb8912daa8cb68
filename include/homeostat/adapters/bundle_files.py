"""A bundle's files are held against their digest before a registry takes them or hands them out."""

from __future__ import annotations

from pathlib import Path

from homeostat.bundle.files import FILES, MAX_BYTES, tree_digest
from homeostat.config.errors import Untrusted

__all__ = ["FILES", "MAX_BYTES", "check_digest"]


def check_digest(folder: Path, expected: str, what: str) -> None:
    """Raise Untrusted unless the bundle in ``folder`` has the digest that was promised for ``what``."""
    found = tree_digest(folder)
    if found != expected:
        msg = (
            f"{what}: its files have digest {found[:16]}..., but {expected[:16] or 'none'}... was recorded: "
            "they were changed after registration and are not loaded; register the model again"
        )
        raise Untrusted(msg)
