"""Registered models and versions in MLflow: search, create, delete, convert."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from homeostat.adapters.mlflow_client import quoted, search_pages
from homeostat.ports import Version

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

RUN_KEY, DIGEST = "homeostat.run_key", "homeostat.digest"
#: Where a version came from that another pipeline trained.
MODEL_URI = "homeostat.model_uri"


def ensure_registered_model(client: MlflowClient, model: str) -> None:
    """Create the registered model unless it exists."""
    from mlflow.exceptions import MlflowException

    note = (
        f"**{model}**, kept healthy by Homeostat. `champion` serves, `candidate` is in rollout, `previous` "
        "stays loaded for a rollback. Moving `champion` to another version requests its promotion, which is "
        "granted if that version passed its gate."
    )
    try:
        client.create_registered_model(model, tags={"homeostat.model": model}, description=note)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def delete_version(client: MlflowClient, model: str, version: str) -> None:
    """Delete a version; a missing one is ignored."""
    from mlflow.exceptions import MlflowException

    try:
        client.delete_model_version(model, version)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise


def describe_version(tags: Mapping[str, str], digest: str) -> str:
    """Return the description of a version for MLflow's UI: reason, gate and digest."""
    reason = tags.get("homeostat.reason", "")
    gate = tags.get("homeostat.gate", "")
    origin = f"Imported from {tags[MODEL_URI]}." if MODEL_URI in tags else ""
    parts = [
        origin or (f"Retrained: {reason}." if reason else ""),
        f"Gate: {gate}." if gate else "",
        f"Digest `{digest[:12]}`.",
    ]
    return " ".join(part for part in parts if part)


def versions_of_run_key(client: MlflowClient, model: str, run_key: str) -> list[Version]:
    """Return the versions of a run key, lowest number first."""
    return search_versions(client, f"name = {quoted(model)} and tags.`{RUN_KEY}` = {quoted(run_key)}")


def search_versions(client: MlflowClient, query: str) -> list[Version]:
    """Return all versions that match a search query, lowest number first."""
    found = search_pages(client.search_model_versions, filter_string=query, max_results=1000)
    return sorted((to_version(item) for item in found), key=lambda version: int(version.version))


def to_version(raw: Any) -> Version:
    """Convert MLflow's ModelVersion."""
    return Version(
        model=raw.name,
        version=str(raw.version),
        digest=raw.tags.get(DIGEST, ""),
        run_id=raw.run_id or "",
        tags=dict(raw.tags),
        created_at=datetime.fromtimestamp(raw.creation_timestamp / 1000, UTC),
        description=raw.description or "",
    )
