"""A slice that decays alone, through Airflow's DAGs, MLflow's server, a real store and a real notice."""

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from homeostat.monitoring.model_health import read_model
from sample_model import T0, serve

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGE = T0 + 6 * HOUR

#: Every setting but ``monitor.slices`` and ``notify`` is the default.
MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema:
  timestamp: at
  key: unit
  label: {{name: y, delay: 1h}}
  features:
    a: {{type: number}}
    b: {{type: number}}
    kind: {{type: category, categories: [red, blue, green]}}
monitor: {{slices: [kind]}}
notify: [people]
"""
PIPELINE = """
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier


def build():
    columns = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    return make_pipeline(columns, DecisionTreeClassifier(max_depth=4, min_samples_leaf=20, random_state=1))
"""


def rows_of(start, end, *, per_hour=60):
    """Label 1 where a > 0, 8 % noise; from CHANGE on the other way round for red, a tenth of the rows."""
    n = int((end - start) / HOUR * per_hour)
    rng = np.random.default_rng(int(start.timestamp()))
    at = [start + timedelta(hours=i / per_hour) for i in range(n)]
    a, kind = rng.normal(size=n), rng.choice(["red", "blue", "green"], n, p=[0.1, 0.6, 0.3])
    changed = (kind == "red") & (np.array(at) >= CHANGE)
    y = ((a > 0) ^ changed ^ (rng.random(n) < 0.08)).astype(int)
    units = [f"u{i % 20}" for i in range(n)]
    return pd.DataFrame({"at": at, "unit": units, "a": a, "b": rng.normal(size=n), "kind": kind, "y": y})


@pytest.fixture
def sliced(setup):
    """The model with a champion and two days of traffic."""
    home = setup.folder / "models" / setup.name
    (home / "model.yaml").write_text(MODEL.format(name=setup.name))
    (home / "pipeline.py").write_text(PIPELINE)
    rows_of(T0 - 2 * DAY, T0).to_csv(home / "rows.csv", index=False)
    assert setup.retrain()["state"] == "success"
    serve(setup.config, setup.ports, rows_of(T0, T0 + DAY))
    return setup


def day_run(sliced, end):
    """The run in MLflow of the day of this window."""
    client = MlflowClient(sliced.env["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name(f"{sliced.name}/monitoring")
    at = f"attributes.start_time = {int(datetime.combine(end.date(), time(), UTC).timestamp() * 1000)}"
    [*runs] = client.search_runs([experiment.experiment_id], at)
    return next(run for run in runs if not run.info.run_name.startswith("month"))


def test_a_slice_that_decays_starts_a_retrain_whose_gate_compares_it(sliced, receiver):
    quiet = sliced.check(CHANGE)
    assert quiet["events"] == []
    for hours in range(2, 13):
        fired = sliced.check(CHANGE + hours * HOUR)
        if fired["events"]:
            break
    [event] = fired["events"]
    assert event["reason"] == "slice_decay"
    notices = [each for each in receiver.received if "kind=red" in each["message"]]
    assert notices, receiver.received
    window = max(sliced.ports.history.windows(sliced.name), key=lambda each: each.window_end)
    assert (window.reason, list(window.decayed_slices)) == ("slice_decay", ["kind=red"])
    assert window.performance == "pass", "the whole looks well"
    state = read_model(sliced.ports.ledger, sliced.name, window.window_end + HOUR)["state"]
    assert state["state"] == "failing_slice"
    assert "kind=red (accuracy" in state["sentence"]
    assert "decay of kind=red" in day_run(sliced, window.window_end).info.run_name
    run = sliced.retrain(trigger_id=event["trigger_id"], reason=event["reason"], until=event["window_end"])
    assert "slice kind=red" in str(run["xcoms"]), "the gate compares the slice that started the retrain"
