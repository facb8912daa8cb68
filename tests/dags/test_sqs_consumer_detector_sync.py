"""A model checked by the Lambda function: Airflow publishes its state and imports the function's checks."""

from datetime import timedelta

import pytest

from homeostat.adapters import open_store_history
from homeostat.core.trigger import WindowRecord
from homeostat.storage.model_state import load_published_state
from sample_model import T0

QUEUE = {"HOMEOSTAT_TRIGGERS": "https://sqs.eu-central-1.amazonaws.com/123456789012/homeostat-triggers.fifo"}


@pytest.fixture
def lambda_setup(setup):
    """The sample model, checked by the Lambda function."""
    path = setup.folder / "models" / setup.name / "model.yaml"
    text = path.read_text()
    assert "min_rows: 60}" in text
    path.write_text(text.replace("min_rows: 60}", "min_rows: 60, runs_on: lambda}"))
    return setup


def sync(setup, **env):
    return setup.airflow.call("run", {**setup.env, **env}, dag=f"drift_check__{setup.name}")


def test_a_retrain_publishes_the_champion_and_the_lease(lambda_setup):
    begun = lambda_setup.retrain(mark_success="train|validate|gate|register|shadow|canary|promote")
    assert begun["state"] == "success"
    published = load_published_state(lambda_setup.ports.store, lambda_setup.name)
    assert published.holder, "published with the lease, so that no check requests another retrain"
    assert published.traffic.champion is None
    assert lambda_setup.retrain(run=1)["state"] == "success"
    published = load_published_state(lambda_setup.ports.store, lambda_setup.name)
    assert (published.holder, published.traffic.champion.version) == ("", "1")


def test_a_failed_retrain_publishes_that_the_lease_is_free(lambda_setup):
    assert lambda_setup.retrain(pipeline="pipeline.py:absent")["tasks"]["train"] == "failed"
    assert load_published_state(lambda_setup.ports.store, lambda_setup.name).holder == ""


def test_the_functions_checks_are_imported_into_mlflow_once(lambda_setup):
    store = lambda_setup.ports.store
    record = WindowRecord(T0, "1", 240, "pass", 0.0, "pending", None, None)
    open_store_history(store).record(lambda_setup.name, record, metrics={"rows": 240.0}, artifacts={})
    dag_run = sync(lambda_setup, **QUEUE)
    assert dag_run["state"] == "success", dag_run
    assert dag_run["tasks"] == {"sync_detector": "success"}
    assert "1 new drift checks copied into MLflow" in dag_run["xcoms"]["sync_detector"]["sentence"]
    assert lambda_setup.ports.history.windows(lambda_setup.name, since=T0 - timedelta(days=1)) == [record]
    assert sync(lambda_setup, **QUEUE)["xcoms"]["sync_detector"]["synced"] == 0
    assert load_published_state(store, lambda_setup.name).config.name == lambda_setup.name


def test_the_sync_fails_with_the_remedy_when_no_queue_is_set(lambda_setup):
    dag_run = sync(lambda_setup)
    assert dag_run["state"] == "failed"
    (note,) = dag_run["callbacks"]
    assert note["error"] == "AirflowFailException"
    assert "HOMEOSTAT_TRIGGERS is not set" in note["text"]
    assert "terraform output -raw trigger_queue_url" in note["text"]
    assert load_published_state(lambda_setup.ports.store, lambda_setup.name).traffic.champion is None, (
        "the state is published all the same"
    )


def test_back_in_airflow_the_check_stops_the_function_and_imports_its_checks(lambda_setup):
    store = lambda_setup.ports.store
    assert sync(lambda_setup, **QUEUE)["state"] == "success"
    record = WindowRecord(T0, "1", 240, "pass", 0.0, "pending", None, None)
    open_store_history(store).record(lambda_setup.name, record, metrics={"rows": 240.0}, artifacts={})
    path = lambda_setup.folder / "models" / lambda_setup.name / "model.yaml"
    path.write_text(path.read_text().replace("runs_on: lambda", "runs_on: airflow"))
    dag_run = sync(lambda_setup)
    assert dag_run["tasks"]["check"] == "success", dag_run
    assert load_published_state(store, lambda_setup.name).config.monitor.runs_on == "airflow"
    assert record in lambda_setup.ports.history.windows(lambda_setup.name)
