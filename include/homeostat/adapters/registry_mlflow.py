"""Training runs, versions and aliases in MLflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from homeostat.adapters import mlflow_bundle, mlflow_other
from homeostat.adapters.bundle_files import check_digest
from homeostat.adapters.mlflow_client import (
    NOTE,
    TRAINING_VIEW,
    MlflowConnection,
    log_artifacts,
    log_metrics,
    log_tags,
    quoted,
    safe_names,
)
from homeostat.adapters.mlflow_versions import (
    DIGEST,
    RUN_KEY,
    delete_version,
    describe_version,
    ensure_registered_model,
    search_versions,
    to_version,
    versions_of_run_key,
)
from homeostat.config.errors import NotFound, Unavailable
from homeostat.ports import OtherModel, Version

if TYPE_CHECKING:
    from mlflow.tracking.client import MlflowClient

_MAX_PARAM, _MAX_DIGEST = 6000, 36


class MlflowRegistry:
    """MLflow as Homeostat's registry: experiment ``<model>/training``, registered model ``<model>``.

    Runs and versions are found by their run key, so that steps may be repeated: a retry after a lost response
    finds what the first call created.
    """

    def __init__(self, mlflow: MlflowConnection | str) -> None:
        self._mlflow = MlflowConnection(mlflow) if isinstance(mlflow, str) else mlflow

    def start_run(self, model: str, run_key: str, *, name: str, tags: Mapping[str, str]) -> str:
        """See :meth:`homeostat.ports.Registry.start_run`."""
        try:
            return self._start_run(model, run_key, name, tags)
        except NotFound:
            # The experiment was deleted after it was looked up.
            self._mlflow.forget_experiment(f"{model}/training")
            return self._start_run(model, run_key, name, tags)

    def _start_run(self, model: str, run_key: str, name: str, tags: Mapping[str, str]) -> str:
        note = f"Training of **{model}**: one run per retrain, with its data, scores and gate report."
        experiment = self._mlflow.ensure_experiment(f"{model}/training", note, {"homeostat.model": model})
        query = f"tags.`{RUN_KEY}` = {quoted(run_key)}"
        own = {**tags, RUN_KEY: run_key, "homeostat.model": model}
        with self._mlflow.operation(f"start the training run of {model}") as client:
            found = client.search_runs(
                [experiment], query, max_results=1, order_by=["attributes.start_time ASC"]
            )
            if not found:
                return str(client.create_run(experiment, tags=own, run_name=name).info.run_id)
            run_id = str(found[0].info.run_id)
            log_tags(client, run_id, own)
            if found[0].info.status != "RUNNING":
                client.update_run(run_id, status="RUNNING")
            return run_id

    def log(
        self,
        run_id: str,
        *,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, float] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Mapping[str, bytes] | None = None,
    ) -> None:
        """See :meth:`homeostat.ports.Registry.log`.

        MLflow's params are immutable. A param logged again with another value (a task that ran before and
        after an upgrade) keeps the first; the new value becomes the tag ``homeostat.changed.<name>``.
        """
        with self._mlflow.operation(f"log to run {run_id}") as client:
            changed = _log_params(client, run_id, params or {})
            log_metrics(client, run_id, metrics or {})
            log_tags(client, run_id, {**changed, **(tags or {})})
            log_artifacts(client, run_id, artifacts or {})

    def log_dataset(self, run_id: str, *, name: str, digest: str, uri: str, context: str, rows: int) -> None:
        """See :meth:`homeostat.ports.Registry.log_dataset`."""
        import json

        with self._mlflow.operation(f"log dataset {name} to run {run_id}") as client:
            from mlflow.entities import Dataset, DatasetInput, InputTag

            # MLflow keeps one input per name and digest, and training and holdout share a snapshot.
            dataset = Dataset(
                name=f"{name}/{context}",
                digest=digest[:_MAX_DIGEST],
                source_type="s3" if uri.startswith("s3://") else "local",
                source=json.dumps({"uri": uri}),
                profile=json.dumps({"num_rows": rows, "sha256": digest}),
            )
            client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", context)])])

    def end_run(self, run_id: str, status: str = "FINISHED") -> None:
        """See :meth:`homeostat.ports.Registry.end_run`."""
        with self._mlflow.operation(f"end run {run_id}") as client:
            client.set_terminated(run_id, status)

    def register(
        self, model: str, run_key: str, run_id: str, bundle: Path, digest: str, tags: Mapping[str, str]
    ) -> Version:
        """See :meth:`homeostat.ports.Registry.register`.

        Raises
        ------
        Untrusted
            The digest of the bundle's files is not ``digest``.
        """
        check_digest(bundle, digest, f"bundle {bundle} of {model}")
        with self._mlflow.operation(f"register a version of {model}") as client:
            found = versions_of_run_key(client, model, run_key)
            if found:
                return found[0]
            ensure_registered_model(client, model)
            own = {**tags, RUN_KEY: run_key, DIGEST: digest}
            model_id = mlflow_bundle.upload(client, model, run_id, bundle, own)
            client.create_model_version(
                model,
                source=f"models:/{model_id}",
                run_id=run_id,
                tags=own,
                description=describe_version(tags, digest),
                await_creation_for=0,
                model_id=model_id,
            )
            found = versions_of_run_key(client, model, run_key)
            # Two concurrent tasks of one run key: both keep the lowest version number.
            for duplicate in found[1:]:
                delete_version(client, model, duplicate.version)
        if not found:
            msg = f"MLflow does not show the version of {model} that it just registered; try again"
            raise Unavailable(msg)
        return found[0]

    def versions(self, model: str) -> Sequence[Version]:
        """See :meth:`homeostat.ports.Registry.versions`."""
        with self._mlflow.operation(f"list the versions of {model}") as client:
            return search_versions(client, f"name = {quoted(model)}")

    def version(self, model: str, version: str) -> Version:
        """See :meth:`homeostat.ports.Registry.version`."""
        if not (version.isascii() and version.isdecimal()):
            msg = f"{model} has no version {version!r}: versions are numbers, such as 3"
            raise NotFound(msg)
        with self._mlflow.operation(f"read version {version} of {model}") as client:
            return to_version(client.get_model_version(model, version))

    def fetch(self, version: Version, folder: Path) -> Path:
        """See :meth:`homeostat.ports.Registry.fetch`."""
        with self._mlflow.operation(f"fetch version {version.version} of {version.model}") as client:
            return mlflow_bundle.download(client, self._mlflow.uri, version, folder)

    def find_model(self, uri: str) -> OtherModel:
        """See :meth:`homeostat.ports.Registry.find_model`."""
        with self._mlflow.operation(f"find the model {uri}") as client:
            return mlflow_other.find(client, uri)

    def fetch_model(self, model: OtherModel, folder: Path) -> None:
        """See :meth:`homeostat.ports.Registry.fetch_model`."""
        with self._mlflow.operation(f"fetch the model {model.uri}") as client:
            mlflow_other.download(client, self._mlflow.uri, model, folder)

    def aliases(self, model: str) -> dict[str, str]:
        """See :meth:`homeostat.ports.Registry.aliases`."""
        try:
            with self._mlflow.operation(f"read the aliases of {model}") as client:
                found = client.get_registered_model(model).aliases
        except NotFound:
            return {}
        return {str(alias): str(version) for alias, version in found.items()}

    def set_alias(self, model: str, alias: str, version: str | None) -> None:
        """See :meth:`homeostat.ports.Registry.set_alias`."""
        if version is not None:
            with self._mlflow.operation(f"point alias {alias} of {model} at version {version}") as client:
                client.set_registered_model_alias(model, alias, version)
        elif alias in self.aliases(model):
            with self._mlflow.operation(f"remove alias {alias} of {model}") as client:
                client.delete_registered_model_alias(model, alias)

    def tag(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """See :meth:`homeostat.ports.Registry.tag`."""
        with self._mlflow.operation(f"tag version {version} of {model}") as client:
            for name, value in tags.items():
                client.set_model_version_tag(model, version, name, str(value))

    def describe(
        self,
        text: str,
        *,
        run_id: str | None = None,
        name: str = "",
        model: str | None = None,
        version: str | None = None,
    ) -> None:
        """See :meth:`homeostat.ports.Registry.describe`; a version's origin stays below the text."""
        if run_id is not None:
            with self._mlflow.operation(f"describe run {run_id}") as client:
                log_tags(client, run_id, {NOTE: text})
                if name:
                    client.update_run(run_id, name=name)
        if model is not None and version is not None:
            with self._mlflow.operation(f"describe version {version} of {model}") as client:
                tags = client.get_model_version(model, version).tags
                whole = f"{text}\n\n{describe_version(tags, tags.get(DIGEST, ''))}"
                client.update_model_version(model, version, description=whole)

    def url(self, *, run_id: str | None = None, model: str | None = None, version: str | None = None) -> str:
        """See :meth:`homeostat.ports.Registry.url`; during an outage, a link that MLflow redirects."""
        page = "models"
        if run_id:
            experiment = self._mlflow.experiment_of(run_id)
            page = f"experiments/{experiment}/runs/{_part(run_id)}" if experiment else f"runs/{_part(run_id)}"
        elif model:
            page = f"models/{_part(model)}" + (f"/versions/{_part(version)}" if version else "")
        return f"{self._mlflow.public_url}/#/{page}?{TRAINING_VIEW}"


def _part(name: str) -> str:
    return quote(name, safe="")


def _log_params(client: MlflowClient, run_id: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Log new params; return tags for those that MLflow already has with another value."""
    from mlflow.entities import Param

    if not params:
        return {}
    logged = client.get_run(run_id).data.params
    safe = safe_names(params)
    wanted = {safe[name]: str(value)[:_MAX_PARAM] for name, value in params.items()}
    new = [Param(name, value) for name, value in wanted.items() if name not in logged]
    for i in range(0, len(new), 100):
        client.log_batch(run_id, params=new[i : i + 100])
    return {
        f"homeostat.changed.{name}": value
        for name, value in wanted.items()
        if logged.get(name, value) != value
    }
