"""A model that a function in AWS watches: Airflow tells it who serves, and takes over what it has seen."""

from datetime import timedelta

import pytest

from homeostat.adapters import open_store_history
from homeostat.core.trigger import WindowRecord
from homeostat.storage.model_state import load_published_state
from sample_model import T0

QUEUE = {"HOMEOSTAT_TRIGGERS": "https://sqs.eu-central-1.amazonaws.com/123456789012/homeostat-triggers.fifo"}


@pytest.fixture
def watched(world):
    """The toy model with a champion, watched by a function in AWS."""
    path = world.folder / "models" / world.name / "model.yaml"
    text = path.read_text()
    assert "min_rows: 60}" in text
    path.write_text(text.replace("min_rows: 60}", "min_rows: 60, runs_on: lambda}"))
    return world


def collect(world, **env):
    return world.airflow.ask("run", {**world.env, **env}, dag=f"drift_check__{world.name}")


def test_every_step_of_a_retrain_tells_the_function_who_serves_and_who_retrains(watched):
    begun = watched.retrain(mark_success="train|validate|gate|register|shadow|canary|promote")
    assert begun["state"] == "success"
    published = load_published_state(watched.ports.store, watched.name)
    assert published.holder, "as soon as the lease is acquired, no check asks for another retrain"
    assert published.traffic.champion is None
    assert watched.retrain(run=1)["state"] == "success"
    published = load_published_state(watched.ports.store, watched.name)
    assert (published.holder, published.traffic.champion.version) == ("", "1")


def test_a_retrain_that_fails_leaves_nobody_retraining_in_what_is_published(watched):
    assert watched.retrain(pipeline="pipeline.py:absent")["tasks"]["train"] == "failed"
    assert load_published_state(watched.ports.store, watched.name).holder == ""


def test_what_the_function_has_seen_goes_into_mlflow_once(watched):
    store = watched.ports.store
    seen = WindowRecord(T0, "1", 240, "pass", 0.0, "pending", None, None)
    open_store_history(store).record(watched.name, seen, metrics={"rows": 240.0}, artifacts={})
    done = collect(watched, **QUEUE)
    assert done["state"] == "success", done
    assert done["tasks"] == {"collect": "success"}
    assert "1 new drift checks copied into MLflow" in done["xcoms"]["collect"]["sentence"]
    assert watched.ports.history.windows(watched.name, since=T0 - timedelta(days=1)) == [seen]
    assert collect(watched, **QUEUE)["xcoms"]["collect"]["synced"] == 0
    assert load_published_state(store, watched.name).config.name == watched.name


def test_triggers_that_nobody_would_hear_turn_the_collecting_red_with_the_cure(watched):
    done = collect(watched)
    assert done["state"] == "failed"
    (told,) = done["told"]
    assert told["error"] == "AirflowFailException"
    assert "HOMEOSTAT_TRIGGERS is not set" in told["text"]
    assert "terraform output -raw trigger_queue_url" in told["text"]
    assert load_published_state(watched.ports.store, watched.name).traffic.champion is None, (
        "collected all the same"
    )


def test_back_in_airflow_the_check_tells_the_function_to_stop_and_takes_over_what_it_saw(watched):
    store = watched.ports.store
    assert collect(watched, **QUEUE)["state"] == "success"
    seen = WindowRecord(T0, "1", 240, "pass", 0.0, "pending", None, None)
    open_store_history(store).record(watched.name, seen, metrics={"rows": 240.0}, artifacts={})
    path = watched.folder / "models" / watched.name / "model.yaml"
    path.write_text(path.read_text().replace("runs_on: lambda", "runs_on: airflow"))
    done = collect(watched)
    assert done["tasks"]["check"] == "success", done
    assert load_published_state(store, watched.name).config.monitor.runs_on == "airflow"
    assert seen in watched.ports.history.windows(watched.name)
