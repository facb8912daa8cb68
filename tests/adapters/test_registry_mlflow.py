"""Behaviour that needs a real MLflow: lost responses, its pages, and loading a version."""

from __future__ import annotations

import json
import uuid
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests

from homeostat.adapters.factory import build_ports
from homeostat.adapters.mlflow_client import MlflowConnection
from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.bundle.files import tree_digest
from homeostat.config import Settings
from homeostat.config.errors import ConfigError, Refused, Unavailable, Untrusted

MANIFEST = {
    "task": "classification",
    "classes": ["no", "yes"],
    "features": [{"name": "temp", "type": "number"}],
}


@pytest.fixture
def registry(mlflow_server: str) -> MlflowRegistry:
    return MlflowRegistry(mlflow_server)


@pytest.fixture
def model() -> str:
    return f"pump-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "model.skops").write_bytes(b"weights")
    (tmp_path / "reference.bin").write_bytes(b"counts")
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    return tmp_path


def put(registry: MlflowRegistry, model: str, bundle: Path, key: str = "k1"):
    run_id = registry.start_run(model, key, name=key, tags={})
    tags = {"homeostat.reason": "sustained_drift", "homeostat.gate": "passed"}
    return registry.register(model, key, run_id, bundle, tree_digest(bundle), tags)


def _fail_after(monkeypatch: pytest.MonkeyPatch, client: object, name: str, *, done: bool) -> None:
    real = getattr(client, name)

    def lost(*args, **kwargs):
        monkeypatch.setattr(client, name, real)
        if done:
            real(*args, **kwargs)
        msg = "Read timed out."
        raise requests.ReadTimeout(msg)

    monkeypatch.setattr(client, name, lost)


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    "call", ["create_logged_model", "log_model_artifacts", "finalize_logged_model", "create_model_version"]
)
def test_a_registration_is_found_after_a_lost_response(registry, model, bundle, monkeypatch, call, done):
    _fail_after(monkeypatch, registry._mlflow.client, call, done=done)
    with pytest.raises(Unavailable, match="timed out"):
        put(registry, model, bundle)
    version = put(registry, model, bundle)
    assert [each.version for each in registry.versions(model)] == [version.version] == ["1"]
    registry.fetch(version, bundle / "fetched")


def test_a_run_is_found_after_a_lost_response(registry, model, monkeypatch):
    registry.start_run(model, "k0", name="k0", tags={})
    _fail_after(monkeypatch, registry._mlflow.client, "create_run", done=True)
    with pytest.raises(Unavailable):
        registry.start_run(model, "k1", name="k1", tags={})
    run_id = registry.start_run(model, "k1", name="k1", tags={})
    assert registry.start_run(model, "k1", name="k1", tags={}) == run_id


def test_a_broken_download_leaves_no_files(registry, model, bundle, monkeypatch):
    from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository

    version = put(registry, model, bundle)
    _fail_after(monkeypatch, MlflowArtifactsRepository, "download_artifacts", done=False)
    with pytest.raises(Unavailable):
        registry.fetch(version, bundle / "fetched")
    assert list((bundle / "fetched").iterdir()) == []


def test_a_deleted_artifact_is_named_in_the_error(registry, model, bundle):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    version, uri = put(registry, model, bundle), registry._mlflow.uri
    where = registry._mlflow.client.get_model_version_download_uri(model, version.version)
    get_artifact_repository(where, uri, uri).delete_artifacts("reference.bin")
    with pytest.raises(Untrusted, match=r"reference\.bin is not among"):
        registry.fetch(version, bundle / "fetched")


def test_a_foreign_version_is_not_fetched(registry, model, bundle):
    put(registry, model, bundle)
    client = registry._mlflow.client
    source = client.get_model_version(model, "1").source
    model_id = source.removeprefix("models:/")
    client.create_model_version(model, source=source, model_id=model_id, await_creation_for=0)
    foreign = registry.versions(model)[1]
    assert foreign.digest == ""
    with pytest.raises(Untrusted, match="none"):
        registry.fetch(foreign, bundle / "fetched")


def test_params_keep_their_first_value_and_tag_the_new_one(registry, model):
    run_id = registry.start_run(model, "k1", name="k1", tags={})
    registry.log(run_id, params={"git": "aaa", "rows": 1})
    registry.log(run_id, params={"git": "bbb", "rows": 1})
    data = registry._mlflow.client.get_run(run_id).data
    assert data.params == {"git": "aaa", "rows": "1"}
    assert data.tags["homeostat.changed.git"] == "bbb"
    assert "homeostat.changed.rows" not in data.tags


def test_both_contexts_of_one_snapshot_are_shown(registry, model):
    run_id = registry.start_run(model, "k1", name="k1", tags={})
    for context in ("training", "holdout"):
        registry.log_dataset(run_id, name=model, digest="ab" * 32, uri="file:///x", context=context, rows=7)
    inputs = registry._mlflow.client.get_run(run_id).inputs.dataset_inputs
    assert sorted(each.tags[0].value for each in inputs) == ["holdout", "training"]
    assert json.loads(inputs[0].dataset.profile) == {"num_rows": 7, "sha256": "ab" * 32}


def test_model_version_and_experiment_have_descriptions(registry, model, bundle):
    version = put(registry, model, bundle)
    client = registry._mlflow.client
    assert "kept healthy by Homeostat" in client.get_registered_model(model).description
    assert "sustained_drift" in client.get_model_version(model, version.version).description
    experiment = client.get_experiment_by_name(f"{model}/training")
    assert "one run per retrain" in experiment.tags["mlflow.note.content"]
    outputs = client.get_run(version.run_id).outputs.model_outputs
    assert [client.get_logged_model(each.model_id).status for each in outputs] == ["READY"]


def test_a_description_keeps_the_versions_origin_and_a_runs_is_shown_in_mlflow(registry, model, bundle):
    version = put(registry, model, bundle)
    client = registry._mlflow.client
    registry.describe("refused in shadow", model=model, version=version.version)
    shown = client.get_model_version(model, version.version).description
    assert shown.startswith("refused in shadow\n\nRetrained: sustained_drift. Gate: passed. Digest `")
    registry.describe("refused in shadow", run_id=version.run_id)
    assert client.get_run(version.run_id).data.tags["mlflow.note.content"] == "refused in shadow"
    registry.describe("x" * 4000, model=model, version=version.version)
    registry.describe("x" * 4000, run_id=version.run_id)


def test_mlflow_can_load_a_version_with_its_signature(registry, model, bundle, monkeypatch):
    import skops.io
    from sklearn.ensemble import RandomForestClassifier

    rows = pd.DataFrame({"temp": np.arange(20.0)})
    forest = RandomForestClassifier(3, random_state=0).fit(rows, ["no"] * 10 + ["yes"] * 10)
    skops.io.dump(forest, bundle / "model.skops")
    version = put(registry, model, bundle)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own, at import
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(registry._mlflow.uri)
        try:
            loaded = mlflow.pyfunc.load_model(f"models:/{model}/{version.version}")
        finally:
            mlflow.set_tracking_uri(before)
    assert loaded.metadata.signature.inputs.input_names() == ["temp"]
    assert list(loaded.predict(rows.iloc[[0, 19]])) == ["no", "yes"]


def test_a_request_that_mlflow_rejects_is_refused_not_unavailable(registry, model, bundle):
    put(registry, model, bundle)
    with pytest.raises(Refused, match="reserved"):
        registry.set_alias(model, "v7", "1")


def test_denied_access_is_a_configuration_error(registry, monkeypatch):
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED

    def deny(*args, **kwargs):
        raise MlflowException("Permission denied", PERMISSION_DENIED)

    monkeypatch.setattr(registry._mlflow.client, "search_model_versions", deny)
    with pytest.raises(ConfigError, match="credentials"):
        registry.versions("m")


def test_urls_point_to_mlflow_pages(registry, mlflow_server, model):
    view = "?workflowType=machine_learning"
    assert registry.url() == f"{mlflow_server}/#/models{view}"
    assert registry.url(model="pump") == f"{mlflow_server}/#/models/pump{view}"
    assert registry.url(model="pump", version="3") == f"{mlflow_server}/#/models/pump/versions/3{view}"
    assert registry.url(run_id="ab12") == f"{mlflow_server}/#/runs/ab12{view}"
    run_id = registry.start_run(model, "k1", name="k1", tags={})
    experiment = registry._mlflow.client.get_run(run_id).info.experiment_id
    page = f"{mlflow_server}/#/experiments/{experiment}/runs/{run_id}{view}"
    assert registry.url(run_id=run_id) == page
    again = MlflowRegistry(mlflow_server)  # another process: knows no experiments yet
    again.versions(model)
    assert again.url(run_id=run_id) == page


@pytest.mark.parametrize(
    ("public_url", "links"),
    [("https://mlflow.example.com/ui", "https://mlflow.example.com/ui"), ("", "http://mlflow:5000")],
)
def test_urls_have_the_address_for_browsers_and_never_a_password(public_url, links):
    registry = MlflowRegistry(MlflowConnection("http://ann:hunter22@mlflow:5000", public_url))
    page = "models/pump?workflowType=machine_learning"
    assert registry.url(model="pump") == f"{links}/#/{page}"


def test_the_ports_use_the_public_url_of_the_settings(tmp_path):
    env = {"HOMEOSTAT_STATE": str(tmp_path), "HOMEOSTAT_MLFLOW_PUBLIC_URL": "https://mlflow.example.com/"}
    url = build_ports(Settings.from_env(env)).registry.url(model="pump")
    assert url.startswith("https://mlflow.example.com/#/models/pump")
