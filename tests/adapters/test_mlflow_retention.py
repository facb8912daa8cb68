"""Old runs of MLflow: those of earlier releases too, and their space is freed with MLflow's own command."""

import json
import sqlite3
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters.history_mlflow import MlflowHistory
from homeostat.adapters.mlflow_days import MONTH
from homeostat.config.errors import Unavailable
from homeostat.core.retention import Retention
from homeostat.core.trigger import WindowRecord
from mlflow_process import running_mlflow

END, HOUR = datetime(2026, 3, 2, 5, tzinfo=UTC), timedelta(hours=1)
DAY = timedelta(days=1)
RUNS = ("runs", "tags", "metrics", "latest_metrics")


def record(end):
    return WindowRecord(end, "3", 240, "pass", 0.1, "pass", 0.46, 0.0)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory, free_port):
    """An MLflow of our own with its database: gc deletes from it."""
    home = tmp_path_factory.mktemp("mlflow")
    with running_mlflow(home, home / "artifacts", free_port()) as url:
        yield url, home


def rows(home, table, run_ids):
    with sqlite3.connect(home / "mlflow.db") as db:
        marks = ", ".join("?" * len(run_ids))
        query = f"SELECT count(*) FROM {table} WHERE run_uuid IN ({marks})"  # noqa: S608
        return db.execute(query, run_ids).fetchone()[0]


def test_what_is_deleted_is_gone_from_mlflows_database_and_folder(mlflow):
    url, home = mlflow
    history = MlflowHistory(url, f"sqlite:///{home}/mlflow.db")
    model = f"pump-{uuid.uuid4().hex[:8]}"
    ids = [
        history.record(model, record(END + n * DAY), metrics={"effect/a": 0.1}, artifacts={"a.png": b"x"})
        for n in range(3)
    ]
    assert all(rows(home, table, ids[:2]) for table in RUNS)
    before = Retention(before=END.replace(hour=0) + 2 * DAY)
    marking = MlflowHistory(url)
    assert marking.delete_old(model, before, 9) == 2
    assert marking.free_deleted() == 0, "without the address of the database"
    assert rows(home, "runs", ids[:2]) == 2
    assert history.delete_old(model, before, 9) == 0
    assert history.free_deleted() == 2, "those that another run has marked"
    assert [rows(home, table, ids[:2]) for table in RUNS] == [0, 0, 0, 0]
    assert rows(home, "runs", ids[2:]) == 1
    assert [path.parts[-3] for path in home.rglob("a.png")] == [ids[2]]
    assert history.free_deleted() == 0
    assert [each.window_end for each in history.windows(model)] == [END + 2 * DAY]


def test_a_wrong_address_of_the_database_is_named_without_its_password(mlflow):
    url, _ = mlflow
    history = MlflowHistory(url, "postgresql://user:secret@127.0.0.1:1/mlflow")
    model = f"pump-{uuid.uuid4().hex[:8]}"
    history.record(model, record(END), metrics={}, artifacts={})
    assert history.delete_old(model, Retention(before=END + DAY), 9) == 1
    with pytest.raises(Unavailable, match="HOMEOSTAT_MLFLOW_BACKEND_URI") as raised:
        history.free_deleted()
    assert "secret" not in str(raised.value)


def test_runs_of_an_earlier_release_and_of_months_are_deleted_by_what_they_show(mlflow):
    url, _ = mlflow
    history, model = MlflowHistory(url), f"pump-{uuid.uuid4().hex[:8]}"
    history.record(model, record(END), metrics={}, artifacts={})
    client = history._mlflow.client
    experiment = client.get_experiment_by_name(f"{model}/monitoring").experiment_id

    def add(end, tags):
        at = int(end.timestamp() * 1000)
        run = client.create_run(experiment, start_time=at, tags=tags)
        client.log_metric(run.info.run_id, "health/score", 0.5, timestamp=at + 3_600_000)
        return run.info.run_id

    def old_window(end):
        raw = json.dumps(record(end).to_json())
        return add(end, {"homeostat.window_end": end.isoformat(), "homeostat.record": raw})

    kept = END - 30 * DAY
    windows = [old_window(END - n * DAY) for n in (40, 30, 20)]
    interrupted = add(END - 35 * DAY, {"homeostat.window_end": (END - 35 * DAY).isoformat()})
    timeline = add(END - 20 * DAY, {"homeostat.timeline": "yes"})
    theirs = add(END - 50 * DAY, {"team": "ours"})

    def left():
        return {run.info.run_id for run in client.search_runs([experiment])}

    assert history.delete_old(model, Retention(END - 20 * DAY, frozenset([kept])), 9) == 2
    assert {windows[0], interrupted}.isdisjoint(left())
    assert {windows[1], windows[2], timeline, theirs} <= left()
    assert history.delete_old(model, Retention(END - 19 * DAY), 9) == 3
    assert {*windows, timeline}.isdisjoint(left())
    april = datetime(2026, 4, 1, tzinfo=UTC)
    [month] = [run for run in client.search_runs([experiment]) if MONTH in run.data.tags]
    assert history.delete_old(model, Retention(april - HOUR), 9) == 1, "the day"
    assert left() == {month.info.run_id, theirs}
    assert history.delete_old(model, Retention(april), 9) == 1
    assert left() == {theirs}
