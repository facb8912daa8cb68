"""What a version was made with, and how that differs from what another was made with."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from homeostat.config import ModelConfig, Settings

_LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas", "skops")
UNKNOWN = "unknown"
#: The image of a process that was told of none.
NO_IMAGE = "none"
#: What ``training.parity: required`` holds two environments to; a new git revision is everyday.
REQUIRED = ("lock_digest", "image_digest")


def environment(config: ModelConfig | None = None, home: Path | None = None) -> dict[str, str]:
    """Describe this environment: git revision, digests of lock file and image, versions; plain and flat.

    What cannot be found out is ``unknown``. The revision is that of the model's folder, with
    ``-dirty`` after it when files differ from it; ``HOMEOSTAT_GIT_REVISION`` overrides it, for images
    that carry no ``.git``. No process can see the digest of the image that it runs in: whoever starts it
    says so in ``HOMEOSTAT_IMAGE_DIGEST``, and where nobody does it is ``none``.
    """
    home = home or Settings.from_env().home
    where = config.folder if config is not None and config.folder.is_dir() else home
    return {
        "git_revision": os.environ.get("HOMEOSTAT_GIT_REVISION") or git_revision(where),
        "lock_digest": lock_digest(home / "requirements.txt"),
        "image_digest": os.environ.get("HOMEOSTAT_IMAGE_DIGEST") or NO_IMAGE,
        "python": platform.python_version(),
        **library_versions(),
    }


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a fitted model depends on."""
    return {name: _version(name) for name in _LIBRARIES}


def parity(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Differences between two environments as sentences, champion first; [] when there is none."""
    if not one:
        return ["the champion's environment is not known"]
    names = [*one, *(name for name in other if name not in one)]
    return [
        f"{name}: {one.get(name, UNKNOWN)} became {other.get(name, UNKNOWN)}"
        for name in names
        if one.get(name, UNKNOWN) != other.get(name, UNKNOWN)
    ]


def parity_required(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What keeps two environments from being the same lock file in the same image, champion first.

    [] when nothing does. What is not known of either is a difference here: nothing shows that it is the same.
    """
    if not one:
        return ["its environment is not known"]
    pairs = [(name, str(one.get(name, UNKNOWN)), str(other.get(name, UNKNOWN))) for name in REQUIRED]
    return [
        f"{name} {_short(there)} there, {_short(here)} here"
        for name, there, here in pairs
        if there != here or UNKNOWN in (there, here)
    ]


def _short(digest: str) -> str:
    """A digest as people compare it, its algorithm kept."""
    kind, colon, value = digest.rpartition(":")
    return f"{kind}{colon}{value[:12]}"


def git_revision(folder: Path) -> str:
    """The commit that a folder is at, ``<sha>-dirty`` when it differs from it, or ``unknown``."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(  # noqa: S603  # a fixed command; the folder is the operator's own
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return found.stdout.strip() or UNKNOWN


def lock_digest(lock: Path) -> str:
    """SHA-256 of the lock file, or ``unknown``."""
    try:
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError:
        return UNKNOWN


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return UNKNOWN
