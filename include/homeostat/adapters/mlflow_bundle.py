"""Upload a bundle as an MLflow model with an MLmodel file, and download it with a digest check."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.adapters.bundle_files import FILES, MAX_BYTES, check_digest
from homeostat.adapters.mlflow_client import quoted
from homeostat.adapters.mlflow_versions import DIGEST, RUN_KEY
from homeostat.config.errors import Untrusted
from homeostat.ports import Version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow.tracking.client import MlflowClient


def upload(client: MlflowClient, model: str, run_id: str, bundle: Path, tags: Mapping[str, str]) -> str:
    """Log the bundle as the model of a run; return the id of MLflow's LoggedModel.

    A retry reuses a READY upload of the same run key and deletes a FAILED one. A pending upload is left
    alone, as another task may be writing it.
    """
    experiment = client.get_run(run_id).info.experiment_id
    query = f"tags.`{RUN_KEY}` = {quoted(tags[RUN_KEY])}"
    for old in client.search_logged_models([experiment], filter_string=query):
        if str(old.status) == "READY" and old.tags.get(DIGEST) == tags[DIGEST]:
            return str(old.model_id)
        if str(old.status) == "FAILED":
            client.delete_logged_model(old.model_id)

    from mlflow.entities import LoggedModelOutput

    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    kind = "classifier" if manifest.get("task") == "classification" else "regressor"
    logged = client.create_logged_model(
        experiment, name=model, source_run_id=run_id, tags=dict(tags), model_type=kind
    )
    try:
        with tempfile.TemporaryDirectory() as scratch:
            for name in FILES:
                shutil.copyfile(bundle / name, Path(scratch) / name)
            _write_mlmodel(Path(scratch), manifest, logged, run_id)
            client.log_model_artifacts(logged.model_id, scratch)
        client.finalize_logged_model(logged.model_id, "READY")
    except BaseException:
        with suppress(Exception):  # the first error is the one to report
            client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, 0)])
    return str(logged.model_id)


def download(client: MlflowClient, uri: str, version: Version, folder: Path) -> Path:
    """Download a version's bundle into ``folder``; files appear there only after the digest check.

    Raises
    ------
    Untrusted
        A file is missing or too large, or the digest differs from the version's.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    what = f"{version.model} version {version.version}"
    source = client.get_model_version_download_uri(version.model, version.version)
    files = get_artifact_repository(source, uri, uri)
    sizes = {item.path: item.file_size or 0 for item in files.list_artifacts()}
    missing = [name for name in FILES if name not in sizes]
    if missing:
        msg = f"{what}: {missing[0]} is not among its artifacts; register the model again"
        raise Untrusted(msg)
    large = [name for name in FILES if sizes[name] > MAX_BYTES[name]]
    if large:
        limit = MAX_BYTES[large[0]] >> 20
        msg = f"{what}: {large[0]} is {sizes[large[0]] >> 20} MB; the limit is {limit} MB"
        raise Untrusted(msg)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".partial-") as scratch:
        for name in FILES:
            files.download_artifacts(name, scratch)
        check_digest(Path(scratch), version.digest, what)
        for name in FILES:
            (Path(scratch) / name).replace(folder / name)
    return folder


def _write_mlmodel(folder: Path, manifest: Mapping[str, Any], logged: Any, run_id: str) -> None:
    """Write the MLmodel file for MLflow's UI, ``mlflow.pyfunc`` and ``mlflow models serve``.

    The digest does not cover it: Homeostat never loads it, because that can run code.
    """
    from importlib.metadata import version

    from mlflow.models import Model

    from homeostat.bundle.trusted_types import TRUSTED_TYPES

    mlmodel = Model(
        run_id=run_id,
        model_id=logged.model_id,
        model_uuid=logged.model_id,
        artifact_path=logged.artifact_location,
        signature=_signature(manifest),
    )
    # Same as mlflow.pyfunc.add_to_model, without importing mlflow.pyfunc, which emits warnings.
    mlmodel.add_flavor(
        "python_function",
        loader_module="mlflow.sklearn",
        model_path="model.skops",
        predict_fn="predict",
        python_version=platform.python_version(),
    )
    mlmodel.add_flavor(
        "sklearn",
        pickled_model="model.skops",
        sklearn_version=version("scikit-learn"),
        serialization_format="skops",
        skops_trusted_types=sorted(TRUSTED_TYPES),
        code=None,
    )
    mlmodel.save(str(folder / "MLmodel"))


def _signature(manifest: Mapping[str, Any]) -> Any:
    """Return the signature: numbers as doubles, categories as strings, all optional."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = [
        ColSpec("double" if item["type"] == "number" else "string", item["name"], required=False)
        for item in manifest["features"]
    ]
    return ModelSignature(Schema(inputs), Schema([ColSpec(_prediction_type(manifest))]))


def _prediction_type(manifest: Mapping[str, Any]) -> str:
    kinds = {type(label) for label in manifest.get("classes") or ()}
    if manifest.get("task") == "regression" or kinds == {float}:
        return "double"
    return {frozenset({int}): "long", frozenset({bool}): "boolean"}.get(frozenset(kinds), "string")
