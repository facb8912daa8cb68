"""Checks that do not end are notified by the callback of their deadline."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from apprise import Apprise

from homeostat.adapters import fake_ports
from homeostat.config import Settings, load_model
from homeostat.storage.latest_check import LatestCheck, save_latest_check
from homeostat_airflow.check_deadline import _deliver, check_deadline, late_check
from homeostat_airflow.dag_options import DagOptions
from homeostat_airflow.drift_check_dag import drift_check_dag
from sample_model import MODEL, PIPELINE

QUEUED = datetime(2026, 1, 5, 7, 0, 9, tzinfo=UTC)
RUN = {
    "dag_id": "ml_drift_check__sample",
    "dag_run_id": "scheduled__2026-01-05T07:00:00+00:00",
    "queued_at": "2026-01-05T07:00:09Z",
    "state": "running",
}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    return load_model(folder)


@pytest.fixture
def store():
    return fake_ports().store


def checked(store, at):
    save_latest_check(store, "sample", LatestCheck(at.replace(minute=0, second=0), at))


def test_the_deadline_is_three_periods_and_at_least_ten_minutes(model):
    deadline = check_deadline(model, DagOptions(models="/m"))
    assert deadline.interval == timedelta(hours=3)
    assert deadline.callback.path == "homeostat_airflow.check_deadline.notify_late_check"
    assert deadline.callback.kwargs["model"] == "sample"
    often = model.monitor.model_copy(update={"every": timedelta(minutes=1)})
    quick = check_deadline(model.model_copy(update={"monitor": often}), DagOptions())
    assert quick.interval == timedelta(minutes=10)
    assert check_deadline(model.model_copy(update={"notify": ()}), DagOptions()) is None


def test_only_checks_in_airflow_have_one(model):
    assert drift_check_dag(model, DagOptions(), "p").deadline
    elsewhere = model.monitor.model_copy(update={"runs_on": "lambda"})
    assert not drift_check_dag(model.model_copy(update={"monitor": elsewhere}), DagOptions(), "p").deadline


def test_the_scheduler_is_given_it(model):
    from airflow.serialization.serialized_objects import DagSerialization

    written = DagSerialization.serialize_dag(drift_check_dag(model, DagOptions(), "p"))
    (deadline,) = written["deadline"]
    assert "homeostat_airflow.check_deadline.notify_late_check" in str(deadline)


def test_the_notice_names_the_run_and_what_to_look_at(model, store):
    notice = late_check(model, RUN, store, "http://airflow:8080")
    assert notice.body == (
        "No drift check has ended for 3 hours, and monitor.every is 1h. There was none yet. The run, queued"
        " at 2026-01-05 07:00 UTC, is running. The model serves without being watched."
    )
    run = "scheduled__2026-01-05T07%3A00%3A00%2B00%3A00"
    assert notice.links == (("Airflow", f"http://airflow:8080/dags/ml_drift_check__sample/runs/{run}"),)
    assert (notice.kind, notice.story, notice.part) == ("checks_stopped", "checks_stopped", "begin")


def test_it_is_sent_unless_a_check_has_ended_since_the_run_was_queued(model, store):
    checked(store, QUEUED - timedelta(hours=1))
    failed = RUN | {"state": "failed"}
    assert "The last one ended at 2026-01-05 06:00 UTC." in late_check(model, failed, store, "").body
    assert late_check(model, failed | {"state": "success"}, store, "") is None, "a check of the past"
    checked(store, QUEUED + timedelta(hours=1))
    assert late_check(model, failed, store, "") is None, "the run after it succeeded"


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")  # imported by Apprise
def test_it_reaches_the_services_of_the_connection_once(model, tmp_path, receiver):
    services = Apprise()
    services.add(json.loads(receiver.connection)["extra"]["config"]["path"])
    settings = Settings.from_env(
        {"HOMEOSTAT_STATE": str(tmp_path / "state"), "AIRFLOW__API__BASE_URL": "http://airflow:8080"}
    )
    for _ in range(2):  # the deadline of the next run passes, too
        _deliver(settings, model, {"people": services}, RUN)
    (notice,) = receiver.received
    assert notice["title"] == "CRITICAL: sample: drift checks have stopped"
    assert "http://airflow:8080/dags/ml_drift_check__sample/runs/" in notice["message"]


def test_the_callback_is_a_coroutine_that_airflow_can_import():
    from airflow.sdk._shared.module_loading import import_string

    assert asyncio.iscoroutinefunction(import_string("homeostat_airflow.check_deadline.notify_late_check"))
