"""A throw-away Airflow home, and the platform's settings for programs that are started in it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def airflow_env(home, **more):
    """Environment of a process that uses the project's DAGs with its own Airflow home."""
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
    """Run a piece of Python in a fresh process with Airflow set up; gives its last line of output."""

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
