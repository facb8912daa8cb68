"""Another team's pipeline: its model in MLflow, gate and rollout in its own DAG, and a real gateway."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import timedelta

import httpx
import pandas as pd
import pytest

from dags.operator_harness import first_version_loader, holds_within
from homeostat.rollouts.manual import manual_rollback
from mlflow_models import fitted, register
from sample_model import T0, rows_between

UNTIL = T0 - timedelta(days=1)
TRAINED = rows_between(T0 - timedelta(days=5), UNTIL, seed=3)
FEATURES = ["a", "b", "kind"]
FILE = """
from datetime import datetime
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from homeostat_airflow.notifications import HomeostatNotifier
from homeostat_airflow.operators import GateOperator, RolloutOperator

for choice in ("fail", "skip", "pass"):
    with DAG(
        f"release_{{choice}}_{name}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        params={{"uri": "", "trained_until": "{until}"}},
        on_success_callback=HomeostatNotifier(model="{name}"),
        on_failure_callback=HomeostatNotifier(model="{name}", title="Release failed: {{{{ run_id }}}}"),
    ) as dag:
        gate = GateOperator(
            task_id="gate",
            model="{name}",
            model_uri="{{{{ params.uri }}}}",
            trained_until="{{{{ params.trained_until }}}}",
            on_refusal=choice,
        )
        rollout = RolloutOperator(
            task_id="rollout",
            model="{name}",
            version="{{{{ ti.xcom_pull(task_ids='gate')['version'] }}}}",
            on_refusal=choice,
        )
        gate >> rollout >> EmptyOperator(task_id="after")
    globals()[dag.dag_id] = dag
"""


@pytest.fixture
def team(setup, tmp_path):
    """The sample model with one DAG of another team for each ``on_refusal``."""
    folder = tmp_path / "their_dags"
    folder.mkdir()
    (folder / "release.py").write_text(FILE.format(name=setup.name, until=UNTIL.isoformat()))

    local = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundle = {"name": "their-dags", "classpath": local, "kwargs": {"path": str(folder)}}
    bundles = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle])}

    def release(choice="fail", *, uri, **how):
        conf = {"uri": uri, **how.pop("conf", {})}
        dag = f"release_{choice}_{setup.name}"
        return setup.airflow.call("run", setup.env | bundles, dag=dag, conf=conf, dags=str(folder), **how)

    def end_callback(dag_run, choice):
        setup.airflow.call(
            "end_callback",
            setup.env | bundles,
            dag=f"release_{choice}_{setup.name}",
            run_id=dag_run["run_id"],
            dags=str(folder),
        )

    setup.release, setup.end_callback = release, end_callback
    setup.theirs = f"{setup.name}_theirs"
    return setup


def log_model(team, flavor="pipeline", label=None, *, name="", **how):
    """Register a model of another team, under a name of its own by default; return it and its number."""
    model, _ = fitted(flavor, TRAINED[FEATURES], TRAINED["y"] if label is None else label)
    how = {"training_rows": len(TRAINED), **how}
    return model, register(team.env["MLFLOW_TRACKING_URI"], name or team.theirs, flavor, model, **how)


def test_a_model_of_the_same_name_becomes_the_first_champion_by_its_alias(team, receiver):
    log_model(team, alias="challenger", name=team.name)
    with first_version_loader(team):
        dag_run = team.release(uri=f"models:/{team.name}@challenger")
    assert dag_run["tasks"] == {"gate": "success", "rollout": "success", "after": "success"}
    gate, rollout = dag_run["xcoms"]["gate"], dag_run["xcoms"]["rollout"]
    assert (gate["verdict"], gate["version"], gate["reasons"]) == ("passed", "2", [])
    assert gate["model_uri"] == f"models:/{team.name}/1"
    assert (rollout["champion"], rollout["outcome"], rollout["version"]) == (True, "promoted", "2")
    version = team.ports.registry.version(team.name, "2")
    assert version.tags["homeostat.gate"] == "passed"
    assert version.tags["homeostat.model_uri"] == gate["model_uri"]
    assert f"Imported from {gate['model_uri']}." in version.description
    assert team.ports.registry.aliases(team.name) == {"challenger": "1", "champion": "2"}
    assert team.traffic.champion.version == "2"

    before = len(receiver.received)
    team.end_callback(dag_run, "fail")
    (notice,) = receiver.received[before:]
    assert notice["title"] == f"release_fail_{team.name} has ended: {dag_run['run_id']}"
    assert notice["message"].startswith("version 2 is champion")


def test_a_refusal_fails_skips_or_passes(team, receiver):
    log_model(team)
    _, worse = log_model(team, label=1 - TRAINED["y"])
    with first_version_loader(team):
        assert team.release(uri=f"models:/{team.theirs}/1")["state"] == "success"
    expected = {
        "fail": ("failed", "upstream_failed", "upstream_failed"),
        "skip": ("skipped", "skipped", "skipped"),
        "pass": ("success", "failed", "upstream_failed"),  # there is no version to roll out
    }
    for choice, states in expected.items():
        dag_run = team.release(choice, uri=f"models:/{team.theirs}/{worse}")
        assert tuple(dag_run["tasks"][name] for name in ("gate", "rollout", "after")) == states
        result = dag_run["xcoms"].get("gate") or dag_run["refused"]["gate"]
        assert (result["verdict"], result["version"], result["champion_version"]) == ("refused", "", "1")
        assert result["reasons"][0].startswith("metric: accuracy ")
        before = len(receiver.received)
        team.end_callback(dag_run, choice)
        title = "Release failed:" if choice != "skip" else f"release_skip_{team.name} has ended:"
        assert [each["title"] for each in receiver.received[before:]] == [f"{title} {dag_run['run_id']}"]
    assert team.traffic.champion.version == "1"


def test_a_pickle_fails_the_task_whatever_a_refusal_does(team):
    log_model(team, serialization_format="cloudpickle", skops_trusted_types=None)
    dag_run = team.release("pass", uri=f"models:/{team.theirs}/1")
    assert dag_run["tasks"]["gate"] == "failed"
    (text,) = [each["text"] for each in dag_run["callbacks"] if each["task"] == "gate"]
    assert f"models:/{team.theirs}/1: model.pkl was saved as cloudpickle" in text
    assert team.versions() == []


def test_a_rollout_without_traffic_is_refused_by_its_own_stage(team):
    log_model(team)
    log_model(team)
    with first_version_loader(team):
        assert team.release(uri=f"models:/{team.theirs}/1")["state"] == "success"
        dag_run = team.in_background(team.release, choice="skip", uri=f"models:/{team.theirs}/2")
        assert holds_within(60, lambda: team.traffic.active is not None)
        now = team.ports.clock.now()
        manual_rollback(team.name, team.ports.ledger, reason="not today", by="ann", at=now)
        dag_run = dag_run.result(60)
    assert dag_run["tasks"] == {"gate": "success", "rollout": "skipped", "after": "skipped"}
    assert "not today" in dag_run["skipped"]["rollout"]
    assert dag_run["refused"]["rollout"]["champion"] is False


@contextmanager
def real_gateway(team, port):
    """A gateway process on the model's ledger, store and MLflow; yields its address once it is healthy."""
    code = (
        "from homeostat.config import Settings\nfrom homeostat.serving.server.serve import run\n"
        f"run(Settings.from_env(), '127.0.0.1', {port})"
    )
    env = {**os.environ, **team.env, "HOMEOSTAT_CONTROL_TOKEN": "t"}
    url, log = f"http://127.0.0.1:{port}", team.folder / "gateway.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=file, stderr=file)
    try:
        assert holds_within(60, lambda: _answers(url)), log.read_text()[-3000:]
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _answers(url):
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


@contextmanager
def requests(team, url, frame):
    """Send rows all the time; raises what went wrong."""
    end, errors = threading.Event(), []
    rows = [frame.iloc[i : i + 20][FEATURES].to_dict("records") for i in range(0, len(frame), 20)]

    def work():
        with httpx.Client(timeout=20) as client:
            at = 0
            while not end.wait(0.02):
                body = {"dataframe_records": rows[at % len(rows)]}
                reply = client.post(f"{url}/models/{team.name}/invocations", json=body)
                if reply.status_code != 200:
                    errors.append(reply.text)
                at += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield errors
    finally:
        end.set()
        thread.join(30)


@pytest.mark.slow
def test_a_booster_goes_through_shadow_and_canary_of_a_real_gateway_to_champion(team, free_port):
    path = team.folder / "models" / team.name / "model.yaml"
    text = path.read_text().replace("max_duration: 2s", "max_duration: 90s")
    path.write_text(text.replace("max_step_duration: 2s", "max_step_duration: 90s"))
    log_model(team)
    model, second = log_model(team, "lightgbm")
    frame = rows_between(T0, T0 + timedelta(hours=2), seed=5)
    with real_gateway(team, free_port()) as url:
        assert team.release(uri=f"models:/{team.theirs}/1")["state"] == "success"
        with requests(team, url, frame) as errors:
            dag_run = team.release(uri=f"models:/{team.theirs}/{second}", timeout=200)
        assert dag_run["tasks"] == {"gate": "success", "rollout": "success", "after": "success"}, dag_run
        assert dag_run["xcoms"]["rollout"]["champion"] is True
        assert errors == []
        phases = [event.traffic["rollout"]["phase"] for event in team.ports.ledger.events(team.name)]
        assert {"shadow", "canary", "champion"} <= set(phases)
        body = {"dataframe_records": frame[FEATURES].to_dict("records")}
        found = httpx.post(f"{url}/models/{team.name}/invocations", json=body, timeout=30).json()
    expected = model.predict(frame[FEATURES].astype({"kind": pd.CategoricalDtype(["blue", "red"])}))
    assert found["predictions"] == expected.tolist()
