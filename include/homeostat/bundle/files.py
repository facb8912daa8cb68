"""The files of a bundle: model.skops, reference.bin and manifest.json, under one digest, never changed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homeostat.bundle.boosters.stored import store_boosters
from homeostat.bundle.deterministic import make_deterministic
from homeostat.bundle.pipeline import pipeline_name
from homeostat.bundle.predictor import Predictor
from homeostat.bundle.safe_load import load_estimator
from homeostat.bundle.threshold import threshold_facts
from homeostat.config import ModelConfig
from homeostat.config.errors import AlreadyExists, DataError, PipelineError, Untrusted
from homeostat.config.label_text import known_spelling
from homeostat.core.profile import Reference

MODEL, REFERENCE, MANIFEST = "model.skops", "reference.bin", "manifest.json"
FILES = (MANIFEST, MODEL, REFERENCE)
#: Larger files are refused.
MAX_BYTES: Mapping[str, int] = {MODEL: 2 * 1024**3, REFERENCE: 64 * 1024**2, MANIFEST: 4 * 1024**2}
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded version."""

    predictor: Predictor
    reference: Reference
    manifest: dict[str, Any]
    digest: str


def tree_digest(folder: Path) -> str:
    """Return the SHA-256 over the lines ``<name> <sha256 of its bytes>`` of the bundle's files, by name.

    Only the three files of a bundle count; other files that a registry adds are never read.

    Raises
    ------
    Untrusted
        A file is missing, a link, or too large.
    """
    return _digest({name: _read(folder, name) for name in FILES})


def write_bundle(
    folder: Path, config: ModelConfig, estimator: Any, reference: Reference, manifest: Mapping[str, Any]
) -> str:
    """Write a bundle into ``folder``, all files or none, and return its digest.

    ``manifest`` is plain JSON, added to what the configuration and the estimator give (features, task,
    classes).

    Raises
    ------
    AlreadyExists
        The folder exists: a version's bytes never change.
    PipelineError
        The estimator contains something that cannot be stored, such as a lambda.
    """
    if folder.exists():
        msg = f"{folder} exists already, and a version's bytes never change: write to a new folder"
        raise AlreadyExists(msg)
    predictor = Predictor.of(config, estimator)
    complete = {**_model_facts(config, predictor, reference), **manifest}
    files = {
        MODEL: dump_estimator(config, estimator),
        REFERENCE: reference.to_bytes(),
        MANIFEST: json.dumps(complete, indent=1, sort_keys=True, allow_nan=False).encode(),
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, data in files.items():
            (unfinished / name).write_bytes(data)
        unfinished.chmod(0o755)
        os.rename(unfinished, folder)  # noqa: PTH104  # the atomic step
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if folder.exists():
            msg = f"{folder}: another process wrote it at the same time, and a version's bytes never change"
            raise AlreadyExists(msg) from error
        raise
    return _digest(files)


def load_bundle(
    folder: Path,
    trusted_types: Iterable[str] = (),
    *,
    digest: str | None = None,
    config: ModelConfig | None = None,
) -> Bundle:
    """Load a bundle after checking its digest.

    Each file is read once, so the bytes that are checked are the bytes that are loaded. Nothing is unpickled,
    and only types of our list, of the operator's list, or defined in the model's own files are created.

    Parameters
    ----------
    folder
        What :func:`write_bundle` wrote; other files in it are ignored.
    trusted_types
        Full names of types that the operator trusts beyond our list (``HOMEOSTAT_TRUSTED_TYPES``); those of
        ``config`` are added.
    digest
        The expected :func:`tree_digest`; leave it out only for a bundle that this process has just written.
    config
        The model whose folder holds the pipeline's own classes, if it has any.

    Raises
    ------
    Untrusted
        Another digest, too large, not a bundle, or a type that is not trusted.
    """
    files = {name: _read(folder, name) for name in FILES}
    found = _digest(files)
    if digest is not None and found != digest.removeprefix("sha256:"):
        msg = (
            f"{folder}: the bundle's digest is {found[:16]}..., expected {digest[:16]}...: its files were "
            "changed after training and are not loaded. Retrain, or restore them from the registry"
        )
        raise Untrusted(msg)
    manifest = _manifest(folder, files[MANIFEST])
    try:
        reference = Reference.from_bytes(files[REFERENCE])
    except DataError as error:
        msg = f"{folder / REFERENCE}: {error}"
        raise Untrusted(msg) from error
    model = config.name if config is not None else str(manifest["model"])
    estimator = load_estimator(files[MODEL], folder / MODEL, model, tuple(trusted_types), config)
    if not callable(getattr(estimator, "predict", None)):
        msg = f"{folder / MODEL}: contains a {type(estimator).__name__}, which has no predict method"
        raise Untrusted(msg)
    kinds = {item["name"]: item["type"] for item in manifest["features"]}
    predictor = Predictor(
        estimator,
        kinds,
        manifest["task"],
        bool(manifest["as_matrix"]),
        known_spelling(manifest),
        pipeline_name(config) if config is not None else model,
        manifest.get("threshold"),
        manifest.get("positive"),
    )
    return Bundle(predictor, reference, manifest, found)


def _model_facts(config: ModelConfig, predictor: Predictor, reference: Reference) -> dict[str, Any]:
    from homeostat.bundle.environment import library_versions

    return {
        "format": FORMAT,
        "model": config.name,
        "task": config.task,
        "features": [
            {"name": name, "type": feature.type, "categories": list(feature.categories or ())}
            for name, feature in config.columns.features.items()
        ],
        "as_matrix": predictor.as_matrix,
        "spelling": predictor.spelling,
        "classes": None if predictor.classes is None else predictor.classes.tolist(),
        "prediction_range": _range(config, reference),
        "libraries": library_versions(),
        **threshold_facts(predictor.threshold, predictor.classes, predictor.positive),
    }


def _range(config: ModelConfig, reference: Reference) -> list[float] | None:
    """Return the range of a regression's predictions on its holdout, widened by its width on both sides."""
    frame = reference.edges.features.get("prediction")
    edges = getattr(frame, "cut_points", ())
    if config.task != "regression" or not edges:
        return None
    low, high = float(edges[0]), float(edges[-1])
    room = (high - low) or abs(high) or 1.0
    return [low - room, high + room]


def dump_estimator(config: ModelConfig, estimator: Any) -> bytes:
    """Return the bytes of an estimator, fitted or not, as a bundle holds it.

    Raises
    ------
    PipelineError
        It contains something that cannot be stored, such as a lambda.
    """
    from skops.io import dumps, get_untrusted_types

    fix = "use named functions of pipeline.py instead of lambdas, and scikit-learn's own estimators"
    where = config.folder / config.pipeline
    try:
        data = make_deterministic(dumps(store_boosters(estimator)))
        nameless = [name for name in get_untrusted_types(data=data) if "<" in name]
    except (TypeError, AttributeError, ValueError) as error:
        msg = f"{where}: the fitted pipeline cannot be stored: {error}; {fix}"
        raise PipelineError(msg) from error
    if nameless:
        msg = f"{where}: the fitted pipeline cannot be stored, it contains {nameless[0]}; {fix}"
        raise PipelineError(msg)
    return data


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        msg = f"{folder} is not a bundle: {name} is missing or is not a plain file"
        raise Untrusted(msg)
    if path.stat().st_size > MAX_BYTES[name]:
        limit = MAX_BYTES[name] >> 20
        msg = f"{path}: {path.stat().st_size / 1024**2:.0f} MB, the limit is {limit} MB: not loaded"
        raise Untrusted(msg)
    return path.read_bytes()


def _digest(files: Mapping[str, bytes]) -> str:
    lines = (f"{name} {hashlib.sha256(files[name]).hexdigest()}\n" for name in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _manifest(folder: Path, data: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(data)
        kinds = {item["name"]: item["type"] for item in raw["features"]}
        good = (
            raw["format"] == FORMAT and raw["task"] in ("classification", "regression") and "as_matrix" in raw
        )
        known_spelling(raw)
        threshold = raw.get("threshold", 0.5)
        good = good and isinstance(threshold, float) and 0 < threshold < 1
        good = good and bool(kinds) and set(kinds.values()) <= {"number", "category"} and "model" in raw
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        msg = f"{folder / MANIFEST}: not the manifest of a bundle of format {FORMAT}"
        raise Untrusted(msg)
    manifest: dict[str, Any] = raw
    return manifest
