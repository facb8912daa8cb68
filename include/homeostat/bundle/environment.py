"""The environment that a version was trained in, and how two environments differ."""

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
#: Named only where they are installed; XGBoost's distribution without GPU support has another name.
_OPTIONAL = {
    "xgboost": ("xgboost", "xgboost-cpu"),
    "lightgbm": ("lightgbm",),
    "catboost": ("catboost",),
    "onnxruntime": ("onnxruntime",),
}
UNKNOWN = "unknown"
#: The image digest where ``HOMEOSTAT_IMAGE_DIGEST`` is not set.
NO_IMAGE = "none"
#: What ``training.parity: enforce`` compares. A new git revision does not stop a retrain.
ENFORCED = ("lock_digest", "image_digest")


def environment(config: ModelConfig | None = None, home: Path | None = None) -> dict[str, str]:
    """Return this environment: git revision, digests of lock file and image, versions, as flat JSON.

    Unknown values are ``unknown``. The revision is that of the model's folder, with ``-dirty`` appended when
    files differ from it; ``HOMEOSTAT_GIT_REVISION`` overrides it, for images without ``.git``. A process
    cannot see the digest of its own image: set ``HOMEOSTAT_IMAGE_DIGEST``; without it the digest is ``none``.
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
    """Return the versions of the libraries that a fitted model depends on."""
    found = {name: _version(name) for name in _LIBRARIES}
    for library, distributions in _OPTIONAL.items():
        versions = [each for each in map(_version, distributions) if each != UNKNOWN]
        found |= dict.fromkeys([library], versions[0]) if versions else {}
    return found


def environment_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the differences between two environments as sentences, champion first; [] for none."""
    if not one:
        return ["the champion's environment is unknown"]
    names = [*one, *(name for name in other if name not in one)]
    return [
        f"{name}: {one.get(name, UNKNOWN)} became {other.get(name, UNKNOWN)}"
        for name in names
        if one.get(name, UNKNOWN) != other.get(name, UNKNOWN)
    ]


def blocking_differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the differences that stop a retrain with ``training.parity: enforce``, champion first.

    [] for the same lock file in the same image. An unknown value counts as a difference.
    """
    if not one:
        return ["its environment is unknown"]
    pairs = [(name, str(one.get(name, UNKNOWN)), str(other.get(name, UNKNOWN))) for name in ENFORCED]
    return [
        f"{name} was {_short(there)}, is {_short(here)}"
        for name, there, here in pairs
        if there != here or UNKNOWN in (there, here)
    ]


def _short(digest: str) -> str:
    """Shorten a digest to 12 digits, keeping its algorithm."""
    kind, colon, value = digest.rpartition(":")
    return f"{kind}{colon}{value[:12]}"


def git_revision(folder: Path) -> str:
    """Return the commit of a folder, ``<sha>-dirty`` when files differ from it, or ``unknown``."""
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        found = subprocess.run(  # noqa: S603  # a fixed command; the folder is the operator's own
            command, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return found.stdout.strip() or UNKNOWN


def lock_digest(lock: Path) -> str:
    """Return the SHA-256 of the lock file, or ``unknown``."""
    try:
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError:
        return UNKNOWN


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return UNKNOWN
