"""A check that does not end is notified by the callback of its deadline."""

import asyncio
from datetime import timedelta

import pytest

from homeostat.config import load_model
from homeostat_airflow.check_deadline import check_deadline, late_check
from homeostat_airflow.dag_options import DagOptions
from sample_model import MODEL, PIPELINE


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "sample"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    return load_model(folder)


def test_the_deadline_is_three_periods_and_at_least_ten_minutes(model):
    deadline = check_deadline(model, DagOptions(models="/m"))
    assert deadline.interval == timedelta(hours=3)
    assert deadline.callback.path == "homeostat_airflow.check_deadline.notify_late_check"
    assert deadline.callback.kwargs["model"] == "sample"
    often = model.monitor.model_copy(update={"every": timedelta(minutes=1)})
    quick = check_deadline(model.model_copy(update={"monitor": often}), DagOptions())
    assert quick.interval == timedelta(minutes=10)
    assert check_deadline(model.model_copy(update={"notify": ()}), DagOptions()) is None


def test_the_notice_names_the_run_and_what_to_look_at(model):
    run = {"dag_id": "drift_check__sample", "dag_run_id": "scheduled__1", "queued_at": "2026-01-05T07:00:09Z"}
    notice = late_check(model, run, "http://airflow:8080")
    assert (
        "queued at 2026-01-05 07:00 UTC, has not ended after 3 periods of monitor.every (1h)" in notice.body
    )
    assert notice.links == (("Airflow", "http://airflow:8080/dags/drift_check__sample/runs/scheduled__1"),)
    assert (notice.kind, notice.story, notice.part) == ("checks_stopped", "checks_stopped", "begin")


def test_the_callback_is_a_coroutine_that_airflow_can_import():
    from airflow.sdk._shared.module_loading import import_string

    assert asyncio.iscoroutinefunction(import_string("homeostat_airflow.check_deadline.notify_late_check"))
