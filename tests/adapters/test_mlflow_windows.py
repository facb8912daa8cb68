"""How a checked window is shown in MLflow: names, description, series over time."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import requests

from homeostat.adapters.history_mlflow import TIMELINE, MlflowHistory
from homeostat.adapters.mlflow_windows import MAX_SERIES, timeline_metrics, window_name, with_groups
from homeostat.core.trigger import WindowRecord

END, HOUR = datetime(2026, 3, 2, 5, tzinfo=UTC), timedelta(hours=1)
PNG = b"\x89PNG\r\n\x1a\n"


def record(end=END, **more):
    known = {"drift": "pass", "drifted_share": 0.1, "performance": "pass", "score": 0.46, "decay": 0.3}
    return WindowRecord(end, "3", 240, **(known | more))


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "ok 0.46 accuracy"),
        ({"performance": "alert"}, "decay 0.46 accuracy"),
        (
            {"performance": "alert", "drift": "alert", "fired": True},
            "decay and drift 0.46 accuracy, retrain requested",
        ),
        ({"decayed_slices": {"region=north": 0.3}}, "decay of region=north 0.46 accuracy"),
        ({"decayed_slices": {"region=north": 0.3}, "performance": "alert"}, "decay 0.46 accuracy"),
        ({"performance": "pending", "score": None}, "ok, labels pending"),
        ({"drift": "not_computable", "performance": "pending", "score": None}, "no result, labels pending"),
        ({"performance": "not_computable", "score": None}, "ok"),
    ],
)
def test_a_runs_name_says_verdict_and_score(more, name):
    report = {"performance": {"metric_title": "accuracy"}}
    assert window_name(record(**more), report) == f"{name}, 2026-03-02 05:00"


def test_a_report_that_has_no_metric_names_it_score():
    assert window_name(record(), {}) == "ok 0.46 score, 2026-03-02 05:00"


def test_names_of_an_earlier_lambda_function_are_those_of_today():
    old = {"psi.a.b": 1.0, "effect.a": 2.0, "rows": 3.0, "fired": 0.0, "trigger/probes": 4.0}
    new = {"psi/a.b": 1.0, "effect/a": 2.0, "rows": 3.0, "trigger/fired": 0.0, "trigger/probes": 4.0}
    assert with_groups(old) == new


def test_series_over_time_leave_out_psi_and_are_bounded():
    many = {f"{kind}/{n:03}": n / 200 for kind in ("effect", "psi") for n in range(200)}
    found = timeline_metrics(many | {"score": 0.4, "trigger/fired": 1.0})
    effects = {f"input drift/{n:03}": n / 200 for n in range(MAX_SERIES)}
    assert found == {"health/score": 0.4, "trigger/fired": 1.0, **effects}
    assert min(found) == "health/score", "the group that MLflow shows first"


def test_scores_of_slices_are_series_over_time():
    found = timeline_metrics({"slice/region north": 0.6, "slice_decay/region north": 0.3, "score": 0.9})
    assert found == {"health/score": 0.9, "slices/region north": 0.6}


@pytest.fixture(scope="module")
def checked(mlflow_server):
    """A history in a real MLflow with three windows, one of them checked twice, and their runs."""
    history, model = MlflowHistory(mlflow_server), f"pump-{uuid.uuid4().hex[:8]}"
    report = {
        "drift": {"reason": "2 of 4 features drifted"},
        "performance": {"reason": "accuracy 0.46, baseline 0.76", "metric_title": "accuracy"},
        "trigger": {"sentence": "Retrain: decay of 0.3."},
        "airflow": "http://airflow:8080/dags/drift_check__pump/runs/scheduled__1",
        "health": "http://airflow:8080/homeostat/health?model=pump",
    }
    artifacts = {
        "report.json": json.dumps(report).encode(),
        "drift_over_time.png": PNG,
        "reference_against_window.png": PNG,
    }
    for hours, score in ((0, 0.7), (1, 0.6), (2, 0.5), (2, 0.46)):
        history.record(
            model,
            record(END + hours * HOUR, score=score),
            metrics={"effect/a": score / 2},
            artifacts=artifacts,
        )
    client = history._mlflow.client
    experiment = client.get_experiment_by_name(f"{model}/monitoring").experiment_id
    return history, model, client.search_runs([experiment], order_by=["attributes.start_time ASC"])


def test_metrics_of_all_windows_are_series_over_time_in_one_run(checked):
    history, model, runs = checked
    [timeline] = [run for run in runs if TIMELINE in run.data.tags]
    assert timeline.info.run_name == "all windows"
    points = history._mlflow.client.get_metric_history(timeline.info.run_id, "health/score")
    assert sorted((point.timestamp, point.value) for point in points) == [
        ((END + hours * HOUR).timestamp() * 1000, score) for hours, score in ((0, 0.7), (1, 0.6), (2, 0.5))
    ], "a window that was checked twice has the first check's value"
    assert [point.step for point in points] == [int(END.timestamp()) // 60 + 60 * hours for hours in range(3)]
    assert [each.window_end for each in history.windows(model)] == [END + hours * HOUR for hours in range(3)]


def test_what_only_the_second_check_of_a_window_knows_is_added(mlflow_server):
    history, model = MlflowHistory(mlflow_server), f"pump-{uuid.uuid4().hex[:8]}"
    pending = record(performance="pending", score=None, decay=None)
    for known, effect in ((pending, 0.1), (record(), 0.2), (record(score=0.9), 0.3)):
        history.record(model, known, metrics={"effect/a": effect}, artifacts={})
    client = history._mlflow.client
    experiment = client.get_experiment_by_name(f"{model}/monitoring").experiment_id
    (timeline,) = client.search_runs([experiment], f"tags.`{TIMELINE}` = 'yes'")
    (window,) = client.search_runs([experiment], f"tags.`{TIMELINE}` IS NULL")

    def values(run, name):
        return [point.value for point in client.get_metric_history(run.info.run_id, name)]

    assert values(timeline, "input drift/a") == [0.1]
    assert values(timeline, "health/score") == [0.46]
    assert window.data.metrics["score"] == 0.9, "the window's own run has the latest check's"


def test_another_process_finds_the_same_run_of_all_windows(checked, mlflow_server):
    _, model, runs = checked
    MlflowHistory(mlflow_server).record(model, record(END), metrics={}, artifacts={})
    again = MlflowHistory(mlflow_server)
    client = again._mlflow.client
    found = client.search_runs([runs[0].info.experiment_id], f"tags.`{TIMELINE}` = 'yes'")
    assert len(found) == 1


def test_a_windows_page_begins_with_its_links_and_its_sentences_and_shows_the_figures(checked, mlflow_server):
    _, _, runs = checked
    window = next(run for run in runs if run.info.run_name == "ok 0.46 accuracy, 2026-03-02 07:00")
    [timeline] = [run for run in runs if TIMELINE in run.data.tags]
    links, decision, inputs, performance, *images = window.data.tags["mlflow.note.content"].split("\n\n")
    assert links.startswith(
        "[run in Airflow](http://airflow:8080/dags/drift_check__pump/runs/scheduled__1) | "
        "[model health](http://airflow:8080/homeostat/health?model=pump) | "
    )
    assert f"/runs/{timeline.info.run_id})" in links
    assert decision == "**Decision:** Retrain: decay of 0.3."
    assert inputs == "**Inputs:** 2 of 4 features drifted"
    assert performance == "**Performance:** accuracy 0.46, baseline 0.76"
    addresses = [image.partition("](")[2].rstrip(")") for image in images]
    assert len(addresses) == 2
    for address in addresses:  # as the browser resolves them, relative to MLflow's page
        assert requests.get(f"{mlflow_server}/{address}", timeout=30).content == PNG
        assert f"({address})" in links
