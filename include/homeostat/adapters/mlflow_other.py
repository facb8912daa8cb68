"""Models that other pipelines logged in MLflow: find them, and download their files without loading them."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.adapters.bundle_files import FILES, MAX_BYTES, check_digest
from homeostat.adapters.mlflow_client import quoted
from homeostat.adapters.mlflow_versions import DIGEST, RUN_KEY
from homeostat.adapters.model_uri import check_model_uri
from homeostat.config.errors import Untrusted
from homeostat.ports import OtherModel

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

#: Tags of a version, a logged model or a run that say what it learned.
UNTIL, ROWS = "homeostat.trained_until", "homeostat.training_rows"
#: The run was deleted, or another user may not read it.
_NO_RUN = ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
#: What autologging and people write.
_TRAINING = {"train", "training"}
#: Files of one model, and bytes of one file.
_MAX_FILES, _MAX_FILE = 100, MAX_BYTES["model.skops"]


def find(client: MlflowClient, uri: str) -> OtherModel:
    """See :meth:`homeostat.ports.Registry.find_model`."""
    form, parts = check_model_uri(uri)
    if form in ("version", "alias"):
        name = parts["name"]
        if form == "alias":
            found = client.get_model_version_by_alias(name, parts["alias"])
        else:
            found = client.get_model_version(name, parts["version"])
        version, tags = str(found.version), dict(found.tags)
        learned = _learned(client, found.run_id, tags)
        return OtherModel(f"models:/{name}/{version}", name, version, tags.get(DIGEST, ""), *learned)
    if form == "logged":
        logged = client.get_logged_model(parts["id"])
        return OtherModel(uri, "", "", "", *_learned(client, logged.source_run_id, dict(logged.tags)))
    found_id = _logged_id(client, parts["run"], parts["path"])
    pinned = f"models:/{found_id}" if found_id else uri
    return OtherModel(pinned, "", "", "", *_learned(client, parts["run"], {}))


def download(client: MlflowClient, uri: str, model: OtherModel, folder: Path) -> None:
    """See :meth:`homeostat.ports.Registry.fetch_model`; ``uri`` is MLflow's own address."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    files = get_artifact_repository(_location(client, model), uri, uri)
    listed = [item for item in files.list_artifacts() if not item.is_dir]
    large = [item.path for item in listed if (item.file_size or 0) > _MAX_FILE]
    if large or len(listed) > _MAX_FILES:
        what = f"{large[0]} is larger than {_MAX_FILE >> 20} MB" if large else f"it has {len(listed)} files"
        msg = f"{model.uri}: {what}: not downloaded. Accepted are scikit-learn's models and boosters"
        raise Untrusted(msg)
    folder.mkdir(parents=True, exist_ok=True)
    for item in listed:
        if Path(item.path).name == item.path:
            files.download_artifacts(item.path, str(folder))
    if model.digest and all((folder / name).is_file() for name in FILES):
        check_digest(folder, model.digest, f"{model.name} version {model.version}")


def _location(client: MlflowClient, model: OtherModel) -> str:
    """Return where the files are. MLflow's own look-up of runs:/ asks the server of its environment."""
    if model.version:
        return str(client.get_model_version_download_uri(model.name, model.version))
    form, parts = check_model_uri(model.uri)
    if form == "logged":
        return str(client.get_logged_model(parts["id"]).artifact_location)
    return f"{client.get_run(parts['run']).info.artifact_uri}/{parts['path']}"


def _logged_id(client: MlflowClient, run_id: str, name: str) -> str:
    """Return the id of the newest model of this name that a run has logged; "" before MLflow 3."""
    run = client.get_run(run_id)  # raises where it does not exist
    query = f"source_run_id = {quoted(run_id)} AND name = {quoted(name)}"
    newest = [{"field_name": "creation_timestamp", "ascending": False}]
    found = client.search_logged_models(
        [run.info.experiment_id], filter_string=query, max_results=1, order_by=newest
    )
    return str(found[0].model_id) if found else ""


def _learned(client: MlflowClient, run_id: str | None, tags: dict[str, str]) -> tuple[str, int | None]:
    """Return until when the model learned, and from how many rows, where MLflow knows it."""
    from mlflow.exceptions import MlflowException

    until, rows = tags.get(UNTIL, ""), tags.get(ROWS, "")
    try:
        run = client.get_run(run_id) if run_id else None
    except MlflowException as error:
        if error.error_code not in _NO_RUN:
            raise
        run = None
    if run is not None:
        own = run.data.params if RUN_KEY in run.data.tags else {}  # Homeostat's own, of any installation
        until = until or run.data.tags.get(UNTIL, "") or own.get("trained_until", "")
        rows = rows or run.data.tags.get(ROWS, "") or own.get("training_rows", "") or _dataset_rows(run)
    return until, int(rows) if str(rows).isdecimal() else None


def _dataset_rows(run: Any) -> str:
    """Return the rows of the largest dataset that the run logged for its training; "" for none."""
    found = [0]
    for entry in run.inputs.dataset_inputs if run.inputs else ():
        contexts = {tag.value for tag in entry.tags if tag.key == "mlflow.data.context"}
        with suppress(ValueError, TypeError, LookupError, AttributeError):
            profile = json.loads(entry.dataset.profile)
            if contexts & _TRAINING:
                found.append(int(profile.get("num_rows") or profile["features_shape"][0]))
    return str(max(found) or "")
