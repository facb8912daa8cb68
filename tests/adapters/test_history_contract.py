"""What every History promises, held against the fake and a real MLflow server."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from homeostat.adapters import history_mlflow
from homeostat.adapters.history_memory import MemoryHistory
from homeostat.adapters.history_mlflow import MlflowHistory
from homeostat.config.errors import Unavailable
from homeostat.trigger import WindowRecord

if TYPE_CHECKING:
    from homeostat.ports import History

END = datetime(2012, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "mlflow"])
def history(request: pytest.FixtureRequest) -> History:
    if request.param == "memory":
        return MemoryHistory()
    return MlflowHistory(request.getfixturevalue("mlflow_server"))


@pytest.fixture
def model() -> str:
    return f"pump-{uuid.uuid4().hex[:8]}"


def window(end: datetime, **more) -> WindowRecord:
    made = WindowRecord(end, "3", 240, "pass", 0.1, "pending", None, None, reason="within_tolerance")
    return replace(made, **more)


def put(history: History, model: str, record: WindowRecord, **more) -> str:
    given = {
        "metrics": {"psi [a=b]": 0.2, "ks/temp": float("nan")},
        "artifacts": {"report.json": b"{}"},
    } | more
    return history.record(model, record, **given)


def test_a_model_without_checks_has_no_history(history, model):
    assert history.windows(model) == []


def test_windows_come_back_whole_and_in_order(history, model):
    records = [window(END + i * HOUR, score=0.1 * i, fired=i == 2, drift="alert") for i in range(4)]
    for record in (records[2], records[0], records[3], records[1]):
        put(history, model, record)
    assert history.windows(model) == records
    assert history.windows(model, since=END + 2 * HOUR) == records[2:]
    assert history.windows(model, since=END + 9 * HOUR) == []


def test_a_check_again_overwrites(history, model):
    first = put(history, model, window(END, drift="alert", drifted_share=0.9))
    again = window(END, drift="not_computable", drifted_share=None, reason="empty")
    assert put(history, model, again, metrics={}, artifacts={"report.json": b"[]", "p/q.png": b"x"}) == first
    assert history.windows(model) == [again]


def test_the_same_instant_in_another_zone_is_the_same_window(history, model):
    put(history, model, window(END, rows=1))
    put(history, model, window(END.astimezone(timezone(timedelta(hours=2))), rows=2))
    assert [record.rows for record in history.windows(model)] == [2]


def test_models_do_not_see_each_other(history, model):
    put(history, model, window(END))
    assert history.windows(model + "x") == []


def test_more_windows_than_a_page_are_all_read(history, model, monkeypatch):
    monkeypatch.setattr(history_mlflow, "_PAGE", 2)
    for i in range(5):
        put(history, model, window(END + i * HOUR), artifacts={})
    assert len(history.windows(model)) == 5


def test_a_fake_that_is_down_says_so():
    history = MemoryHistory()
    history.down = True
    with pytest.raises(Unavailable):
        history.windows("m")


def test_mlflow_down_is_unavailable(free_port):
    history = MlflowHistory(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="is it running"):
        put(history, "m", window(END))


def test_the_run_in_mlflow_can_be_read_by_a_person(mlflow_server, model):
    history = MlflowHistory(mlflow_server)
    run_id = put(history, model, window(END, fired=True, drift="alert"), metrics={"ks/temp": 0.5})
    put(history, model, window(END, fired=True, drift="alert"), metrics={"ks/temp": 0.25})
    run = history._mlflow.client.get_run(run_id)
    assert run.info.run_name == "2012-03-01 12:00"
    assert run.info.start_time == END.timestamp() * 1000
    assert run.data.metrics == {"ks/temp": 0.25, "rows": 240, "drifted_share": 0.1}
    assert (run.data.tags["homeostat.drift"], run.data.tags["homeostat.fired"]) == ("alert", "yes")


def test_a_run_cut_short_is_no_history_and_is_filled_later(mlflow_server, model):
    history = MlflowHistory(mlflow_server)
    put(history, model, window(END))
    client = history._mlflow.client
    history._run(client, client.get_experiment_by_name(f"{model}/monitoring").experiment_id, END + HOUR)
    assert history.windows(model) == [window(END)]
    put(history, model, window(END + HOUR))
    assert len(history.windows(model)) == 2


def test_an_experiment_deleted_by_hand_is_taken_out_of_the_bin(mlflow_server, model):
    history = MlflowHistory(mlflow_server)
    put(history, model, window(END))
    client = history._mlflow.client
    client.delete_experiment(client.get_experiment_by_name(f"{model}/monitoring").experiment_id)
    assert history.windows(model) == []
    put(history, model, window(END + HOUR))
    assert window(END + HOUR) in history.windows(model)
