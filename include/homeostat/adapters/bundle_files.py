"""The three files of a bundle, their digest, and how a download becomes a bundle only when it matches."""

from __future__ import annotations

import hashlib
from pathlib import Path

from homeostat.config.errors import Untrusted

BUNDLE_FILES = ("manifest.json", "model.skops", "reference.bin")
MAX_BUNDLE_BYTES = 2 * 1024**3


def tree_digest(folder: Path) -> str:
    """SHA-256 over the lines ``<name> <sha256 of its bytes>`` of the bundle's files, sorted by name.

    The same as :func:`homeostat.training.bundle.tree_digest`, over exactly the files that a bundle has:
    what MLflow keeps beside them has no say.

    Raises
    ------
    Untrusted
        A file is missing or is not a plain file.
    """
    lines = hashlib.sha256()
    for name in BUNDLE_FILES:
        path = folder / name
        if path.is_symlink() or not path.is_file():
            msg = f"{folder} is not a bundle: {name} is missing or not a plain file"
            raise Untrusted(msg)
        with path.open("rb") as file:
            lines.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return lines.hexdigest()


def check_digest(folder: Path, expected: str, what: str) -> None:
    """Raise Untrusted unless the bundle in ``folder`` has the digest that was promised for ``what``."""
    found = tree_digest(folder)
    if found != expected:
        msg = (
            f"{what}: its files have digest {found[:16]}..., but {expected[:16] or 'none'}... was recorded: "
            "they were changed after registration and are not loaded; register the model again"
        )
        raise Untrusted(msg)
