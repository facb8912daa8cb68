"""Verify the digest of a bundle's files before a registry accepts or returns them."""

from __future__ import annotations

from pathlib import Path

from homeostat.bundle.files import FILES, MAX_BYTES, tree_digest
from homeostat.config.errors import Untrusted

__all__ = ["FILES", "MAX_BYTES", "check_digest"]


def check_digest(folder: Path, expected: str, what: str) -> None:
    """Raise Untrusted unless the bundle in ``folder`` has digest ``expected``."""
    found = tree_digest(folder)
    if found != expected:
        msg = (
            f"{what}: its files have digest {found[:16]}..., but {expected[:16] or 'none'}... was recorded. "
            "They were changed after registration and are not loaded; register the model again"
        )
        raise Untrusted(msg)
