"""A temporary Airflow home, and the environment of the programs that run in it."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def airflow_env(home, **more):
    """Return the environment of a process that runs the project's DAGs with this Airflow home."""
    return {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}",
        "PYTHONWARNINGS": "ignore",
        "HOMEOSTAT_STATE": str(home / "state"),
        **more,
    }


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=airflow_env(home),
        check=True,
        capture_output=True,
    )
    return home


@pytest.fixture
def run_in_airflow(airflow_home):
    """Run Python code in a new process with Airflow configured; return its last line of output."""

    def run(code, timeout=240, **env):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=airflow_env(airflow_home, **env),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout.strip().splitlines()[-1]

    return run


@pytest.fixture(scope="session")
def airflow(airflow_home, tmp_path_factory):
    """An Airflow process that runs DAGs with ``dag.test()`` on request."""
    from dags.operator_harness import Airflow

    log = tmp_path_factory.mktemp("airflow-worker") / "worker.log"
    worker = Airflow(airflow_env(airflow_home, AIRFLOW__LOGGING__LOGGING_LEVEL="INFO"), log)
    yield worker
    worker.stop()


@pytest.fixture
def receiver():
    """A real HTTP server that receives the sample model's notices."""
    from dags.operator_harness import Receiver

    server = Receiver()
    yield server
    server.stop()


@pytest.fixture
def setup(tmp_path, airflow, mlflow_server, receiver, request):
    """The sample model under a unique name, not trained yet."""
    from dags.operator_harness import make_operator_fixture

    name = "sample_" + hashlib.sha256(request.node.name.encode()).hexdigest()[:8]
    env = {"MLFLOW_TRACKING_URI": mlflow_server, "AIRFLOW_CONN_PEOPLE": receiver.connection}
    with ThreadPoolExecutor(1) as pool:
        yield make_operator_fixture(tmp_path, name, airflow, pool, env)


@pytest.fixture
def deployed(setup):
    """The sample model with a champion."""
    assert setup.retrain()["state"] == "success"
    return setup
