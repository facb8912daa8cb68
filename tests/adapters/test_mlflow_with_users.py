"""An MLflow server with its application ``basic-auth``: a user of few rights, and wrong passwords.

As in docs/existing-airflow.md: the user may read nothing of others, and creates what it needs itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from homeostat.adapters.history_mlflow import MlflowHistory
from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.bundle.files import tree_digest
from homeostat.config import Settings
from homeostat.config.errors import ConfigError
from homeostat.doctor import Deployment
from homeostat.doctor.mlflow import check_mlflow
from mlflow_process import running_mlflow

pytest.importorskip("flask_wtf", reason="MLflow's basic-auth needs Flask-WTF: it is in requirements-dev.txt")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "homeostat", "a-password-of-the-test"
ADMIN = ("admin", "a-password-of-the-administrator")
AUTH = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/users.db
admin_username = {admin[0]}
admin_password = {admin[1]}
auth_cache_ttl_seconds = 60
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, free_port):
    """The URL of the server. Without a grant, its users may neither read nor change anything."""
    folder = tmp_path_factory.mktemp("mlflow-with-users")
    (folder / "auth.ini").write_text(AUTH.format(folder=folder, admin=ADMIN))
    env = {
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "a-secret-of-the-test",
    }
    with running_mlflow(folder, folder / "files", free_port(), "--app-name", "basic-auth", **env) as url:
        body = {"username": USER, "password": PASSWORD}
        requests.post(
            f"{url}/api/2.0/mlflow/users/create", json=body, auth=ADMIN, timeout=30
        ).raise_for_status()
        yield url


@pytest.fixture(params=["environment", "address"])
def address_with(request, guarded, monkeypatch):
    """A function that says who calls, either in the environment or in the address; it returns the address."""

    def use(user, password):
        if request.param == "address":
            return guarded.replace("://", f"://{user}:{password}@")
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        return guarded

    return use


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.skops").write_bytes(b"weights")
    (folder / "reference.bin").write_bytes(b"counts")
    manifest = {
        "task": "classification",
        "classes": [0, 1],
        "features": [{"name": "temp", "type": "number"}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_user_and_password_may_be_in_the_environment_or_in_the_address(address_with, request):
    registry, model = MlflowRegistry(address_with(USER, PASSWORD)), f"pump-{request.node.callspec.id}"
    run_id = registry.start_run(model, "k1", name="k1", tags={})
    assert registry.start_run(model, "k1", name="k1", tags={}) == run_id


def test_a_user_without_other_rights_registers_a_version_and_gives_it_an_alias(
    guarded, bundle, tmp_path, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    registry, model = MlflowRegistry(guarded), "pump"
    run_id = registry.start_run(model, "k1", name="k1", tags={})
    registry.log(run_id, metrics={"accuracy": 0.9}, params={"rows": 10}, artifacts={"gate.json": b"{}"})
    registry.log_dataset(run_id, name=model, digest="ab" * 32, uri="file:///x", context="training", rows=10)
    digest = tree_digest(bundle)
    version = registry.register(model, "k1", run_id, bundle, digest, {"homeostat.gate": "passed"})
    registry.set_alias(model, "champion", version.version)
    registry.tag(model, version.version, {"homeostat.status": "champion"})
    registry.end_run(run_id)
    assert registry.aliases(model) == {"champion": version.version}
    found = registry.version(model, version.version)
    assert (found.digest, found.tags["homeostat.status"]) == (digest, "champion")
    fetched = registry.fetch(found, tmp_path / "fetched")
    assert (fetched / "model.skops").read_bytes() == b"weights"
    assert list(MlflowHistory(registry._mlflow.uri).windows(model)) == []


def test_a_wrong_password_is_a_sentence_without_the_password(address_with):
    registry = MlflowRegistry(address_with(USER, "not-this-one"))
    with pytest.raises(ConfigError, match=r"denies it .*check its credentials") as caught:
        registry.start_run("pump", "k1", name="k1", tags={})
    assert "not-this-one" not in str(caught.value)


def test_without_a_user_the_sentence_is_the_same(guarded, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"denies it .*check its credentials"):
        MlflowRegistry(guarded).aliases("pump")


@pytest.mark.parametrize(("password", "state"), [(PASSWORD, "ok"), ("not-this-one", "broken")])
def test_doctor_says_whether_mlflow_accepts_the_user(guarded, tmp_path, monkeypatch, password, state):
    env = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": password}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = Settings.from_env({"HOMEOSTAT_STATE": str(tmp_path), "MLFLOW_TRACKING_URI": guarded, **env})
    deployment = Deployment(settings, (), env=env)
    if state == "ok":
        assert check_mlflow(deployment).state == "ok"
    else:
        with pytest.raises(ConfigError, match="MLflow refuses the request: HTTP 401"):
            check_mlflow(deployment)


TEST_CONNECTIONS = """
import json
from homeostat_airflow.hook import HomeostatHook
print(json.dumps([HomeostatHook(name).test_connection() for name in ("mine", "wrong")]))
"""


def test_the_connections_test_says_whether_mlflow_accepts_the_user(guarded, tmp_path):
    def connection(password):
        extra = {"mlflow": guarded, "mlflow_username": USER, "mlflow_password": password}
        return json.dumps({"conn_type": "homeostat", "extra": extra})

    env = {
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW_CONN_MINE": connection(PASSWORD),
        "AIRFLOW_CONN_WRONG": connection("not-this-one"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "HOMEOSTAT_STATE": str(tmp_path),
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}",
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-c", TEST_CONNECTIONS]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    mine, wrong = json.loads(done.stdout.strip().splitlines()[-1])
    assert mine == [True, "ledger: works. store: works. MLflow: works"]
    assert wrong[0] is False
    assert re.search(r"^MLflow: .*denies it .*check its credentials\. ledger: works", wrong[1])
    assert "not-this-one" not in wrong[1]
