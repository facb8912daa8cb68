import contextlib
from pathlib import Path

import httpx
import pytest

from homeostat.config import Settings
from homeostat.dev_stack import Platform, ServiceProgress
from homeostat.dev_stack.processes import session_members

DAGS = """
from airflow.sdk import DAG, Asset, task

with DAG("tiny", schedule=None):

    @task(outlets=[Asset("tiny_done")])
    def double(**context):
        from homeostat.config import Settings

        return {"twice": 2 * context["dag_run"].conf["number"], "mlflow": Settings.from_env().tracking_uri}

    double()

with DAG("follows", schedule=[Asset("tiny_done")], is_paused_upon_creation=False):

    @task
    def heard():
        return "yes"

    heard()
"""

SETTINGS = """
airflow:
  connections: [{conn_id: homeostat_alerts, conn_type: apprise, conn_extra: {config: []}}]
  pools: [{pool_name: homeostat_training, pool_slot: 1}]
  variables: [{variable_name: region, variable_value: eu}]
"""


@pytest.fixture
def project(tmp_path) -> Settings:
    for folder in ("dags", "plugins", "include/models"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "dags" / "tiny.py").write_text(DAGS)
    (tmp_path / "airflow_settings.yaml").write_text(SETTINGS)
    return Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path)})


@pytest.mark.slow
def test_it_starts_runs_a_dag_manually_and_by_asset_and_leaves_no_process(project: Settings):
    steps: list[ServiceProgress] = []
    with Platform(project, progress=steps.append) as platform:
        sessions = [service.process.pid for service in platform.services]
        assert {service.name for service in platform.services} == {
            *("mlflow", "gateway"),
            *("api-server", "scheduler", "dag-processor", "triggerer"),
        }
        assert httpx.get(f"{platform.mlflow_url}/version", trust_env=False).is_success
        assert httpx.get(f"{platform.gateway_url}/v2/health/live", trust_env=False).is_success

        airflow = platform.airflow
        airflow.wait_for_dag("tiny")
        airflow.unpause("tiny")
        run_id = airflow.trigger("tiny", {"number": 21})
        run = airflow.wait_for_run("tiny", run_id, 60)
        assert run["state"] == "success", airflow.task_log("tiny", run_id, "double")
        assert airflow.xcom("tiny", run_id, "double") == {"twice": 42, "mlflow": platform.mlflow_url}
        assert [task["task_id"] for task in airflow.task_instances("tiny", run_id)] == ["double"]
        assert "Returned value" in airflow.task_log("tiny", run_id, "double")

        airflow.wait_for_dag("follows")
        followed = airflow.wait_for_run("follows", wait_for_first_run(airflow), 60)
        assert followed["state"] == "success"

        assert airflow.request("GET", "/connections/homeostat_alerts")["conn_type"] == "apprise"
        assert airflow.request("GET", "/pools/homeostat_training")["slots"] == 1
        assert airflow.request("GET", "/variables/region")["value"] == "eu"

        platform.check()
    assert [session_members(session) for session in sessions] == [[]] * len(sessions)
    assert not list((project.state / "run").iterdir())
    assert {step.name for step in steps if step.state == "ready"} == {
        *("airflow-database", "mlflow", "airflow", "gateway")
    }
    assert world_readable_secrets(project.state) == []


def wait_for_first_run(airflow) -> str:
    import time

    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(IndexError):
            return str(airflow.runs("follows")[0]["dag_run_id"])
        time.sleep(0.2)
    pytest.fail("the asset event started no run")


def world_readable_secrets(state: Path) -> list[str]:
    files = (state / "secrets.json", state / "airflow" / "passwords.json")
    return [str(file) for file in files if file.stat().st_mode & 0o077]
