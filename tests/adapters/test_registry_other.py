"""Models that other pipelines logged at a real MLflow server: found by each form of address, downloaded."""

import uuid

import pytest

from bundle_fixtures import model, rows
from homeostat.adapters import mlflow_other
from homeostat.adapters.model_uri import check_model_uri
from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.bundle.evaluate import make_reference
from homeostat.bundle.files import write_bundle
from homeostat.bundle.mlflow_model import load_mlflow_model
from homeostat.bundle.predictor import Predictor
from homeostat.config.errors import ConfigError, NotFound, Refused, Untrusted
from homeostat.ports import OtherModel
from homeostat.retraining.fit import fit
from mlflow_models import fitted, register

__all__ = ["model", "rows"]


@pytest.fixture
def registry(mlflow_server):
    return MlflowRegistry(mlflow_server)


@pytest.fixture
def name():
    return f"theirs-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def logged(mlflow_server, name, rows):
    """Register a model of two numbers; return what it predicts, by MLflow's own number."""
    frame = rows(missing=False)

    def make(**how):
        estimator, _ = fitted("sklearn", frame[["a", "b"]], frame["y"])
        return register(mlflow_server, name, "sklearn", estimator, **how)

    return make


def test_every_form_of_address_finds_the_model_and_none_keeps_an_alias(registry, logged, name, tmp_path):
    logged()
    number = logged(alias="challenger")
    version = registry._mlflow.client.get_model_version(name, number)
    logged_id = version.source.removeprefix("models:/")
    registry.fetch_model(registry.find_model(f"models:/{name}/1"), tmp_path / "files")
    registry._mlflow.client.log_artifacts(version.run_id, str(tmp_path / "files"), "files")  # as MLflow 2
    forms = {
        f"models:/{name}/{number}": f"models:/{name}/{number}",
        f"models:/{name}@challenger": f"models:/{name}/{number}",
        f"models:/{logged_id}": f"models:/{logged_id}",
        f"runs:/{version.run_id}/theirs": f"models:/{logged_id}",
        f"runs:/{version.run_id}/files": f"runs:/{version.run_id}/files",
    }
    for i, (given, pinned) in enumerate(forms.items()):
        found = registry.find_model(given)
        assert found.uri == pinned
        registry.fetch_model(found, tmp_path / str(i))
        assert {"MLmodel", "model.skops"} <= {path.name for path in (tmp_path / str(i)).iterdir()}
    digests = {(tmp_path / str(i) / "MLmodel").read_bytes() for i in range(len(forms) - 1)}
    assert len(digests) == 1


def test_what_the_model_learned_is_known_from_datasets_and_tags(registry, logged, name):
    logged(training_rows=321)
    logged(tags={"homeostat.trained_until": "2026-03-01", "homeostat.training_rows": "77"}, training_rows=5)
    logged()
    assert registry.find_model(f"models:/{name}/1").training_rows == 321
    found = registry.find_model(f"models:/{name}/2")
    assert (found.trained_until, found.training_rows) == ("2026-03-01", 77)
    found = registry.find_model(f"models:/{name}/3")
    assert (found.trained_until, found.training_rows, found.digest) == ("", None, "")


def test_a_deleted_run_leaves_what_it_learned_unknown(registry, logged, name, tmp_path):
    logged(training_rows=321)
    client = registry._mlflow.client
    client.delete_run(client.get_model_version(name, "1").run_id)
    found = registry.find_model(f"models:/{name}/1")
    registry.fetch_model(found, tmp_path / "model")
    assert (tmp_path / "model" / "MLmodel").is_file()


@pytest.mark.parametrize(
    "uri",
    ["models:/NAME/9", "models:/NAME@nobody", "models:/none/1", "models:/m-00000000", "runs:/0123abc/model"],
)
def test_a_model_that_does_not_exist_is_named(registry, logged, name, uri):
    logged()
    with pytest.raises((NotFound, Refused), match="find the model"):
        registry.find_model(uri.replace("NAME", name))


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "",
            "churn",
            "models:/churn",
            "models:/churn/latest",
            "models:/churn/Production",
            "s3://bucket/model",
        ),
        *("/etc/passwd", "runs:/abc", "runs:/abc/../../x", "models:/churn/7/../8", "file:///tmp/model"),
    ],
)
def test_another_form_of_address_is_refused(registry, uri):
    with pytest.raises(ConfigError, match="write models:/NAME/7, models:/NAME@ALIAS"):
        registry.find_model(uri)
    with pytest.raises(ConfigError):
        check_model_uri(uri)


def test_a_large_file_is_not_downloaded(registry, logged, name, tmp_path, monkeypatch):
    logged()
    monkeypatch.setattr(mlflow_other, "_MAX_FILE", 100)
    with pytest.raises(Untrusted, match="is larger than 0 MB: not downloaded"):
        registry.fetch_model(registry.find_model(f"models:/{name}/1"), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_version_of_another_installation_is_found_with_its_digest_and_loaded(
    registry, name, model, rows, tmp_path
):
    code = "def build():\n    from xgboost import XGBClassifier\n    return XGBClassifier(n_estimators=10)\n"
    config, frame = model(code, category=True), rows(labels=("fine", "worn"))
    predictor = Predictor.of(config, fit(config, frame, None))
    reference = make_reference(config, predictor, frame)
    digest = write_bundle(tmp_path / "theirs", config, predictor.estimator, reference, {})
    run_id = registry.start_run(name, "k1", name="k1", tags={})
    registry.log(run_id, params={"trained_until": "2026-03-01T00:00:00+00:00", "training_rows": 300})
    registry.register(name, "k1", run_id, tmp_path / "theirs", digest, {"homeostat.gate": "passed"})

    found = registry.find_model(f"models:/{name}/1")
    until = "2026-03-01T00:00:00+00:00"
    assert found == OtherModel(f"models:/{name}/1", name, "1", digest, until, 300)
    registry.fetch_model(found, tmp_path / "here")
    estimator = load_mlflow_model(tmp_path / "here", config, what=found.uri)
    again = Predictor.of(config, estimator).predict(frame)
    expected = predictor.predict(frame)
    assert again.prediction.tolist() == expected.prediction.tolist()
    assert again.proba.tolist() == expected.proba.tolist()

    with pytest.raises(Untrusted, match="its files have digest"):
        registry.fetch_model(OtherModel(found.uri, name, "1", digest="0" * 64), tmp_path / "another")
