"""The file ``MLmodel``: the flavours of a model, and the names and types of its inputs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from homeostat.config.errors import Untrusted

MLMODEL = "MLmodel"
#: Larger files are refused, in bytes.
MAX_MLMODEL, MAX_DATA = 4 * 1024**2, 2 * 1024**3


@dataclass(frozen=True, slots=True)
class MLmodel:
    """What ``MLmodel`` says.

    ``flavors`` are the settings of each flavour, ``inputs`` the type of each input column by its name, in
    order: MLflow's words such as ``double``. None without a signature, or with one that names no columns.
    """

    flavors: Mapping[str, Mapping[str, Any]]
    inputs: Mapping[str, str] | None


def read_mlmodel(folder: Path, what: str) -> MLmodel:
    """Read ``MLmodel`` in a folder; nothing that it names is imported or run.

    Raises
    ------
    Untrusted
        It is missing, too large, or not MLflow's. ``what`` is the model's address, for the message.
    """
    try:
        raw = yaml.safe_load(read_file(folder, MLMODEL, what, MAX_MLMODEL))
        flavors = {str(name): dict(conf) for name, conf in raw["flavors"].items()}
        inputs = _inputs(raw.get("signature") or {})
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{what}: its file {MLMODEL} is not MLflow's ({type(error).__name__}): log the model again"
        raise Untrusted(msg) from error
    return MLmodel(flavors, inputs)


def read_file(folder: Path, name: str, what: str, limit: int = MAX_DATA) -> bytes:
    """Return the bytes of a plain file directly in the folder; Untrusted for anything else."""
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        msg = f"{what}: the file {name[:80]!r} is missing, or is not directly in the model's folder"
        raise Untrusted(msg)
    if path.stat().st_size > limit:
        msg = f"{what}: {name} has {path.stat().st_size >> 20} MB, the limit is {limit >> 20} MB: not loaded"
        raise Untrusted(msg)
    return path.read_bytes()


def _inputs(signature: Mapping[str, Any]) -> dict[str, str] | None:
    columns = json.loads(signature.get("inputs") or "[]")
    if not columns or any("name" not in each for each in columns):
        return None
    return {str(each["name"]): str(each["type"]) for each in columns}
