"""How a checked window is shown in MLflow: names, description, series over time."""

import hashlib
import json
import uuid
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.history_mlflow import MlflowHistory
from homeostat.adapters.mlflow_days import DAY, MONTH, read_records, record_tag
from homeostat.adapters.mlflow_windows import (
    day_name,
    day_sentence,
    day_tags,
    month_metrics,
    with_day,
    with_groups,
)
from homeostat.config.errors import Refused
from homeostat.core.trigger import WindowRecord

END, HOUR = datetime(2026, 3, 2, 5, tzinfo=UTC), timedelta(hours=1)
PNG = b"\x89PNG\r\n\x1a\n"


def record(end=END, **more):
    known = {
        "version": "3",
        "drift": "pass",
        "drifted_share": 0.1,
        "performance": "pass",
        "score": 0.46,
        "decay": 0.3,
    }
    return WindowRecord(end, rows=240, **(known | more))


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
def test_a_runs_name_says_verdict_and_score_of_the_newest_window(more, name):
    assert day_name([record(**more)], "accuracy") == f"{name}, 2026-03-02 05:00"
    assert day_name([record(END - HOUR), record(**more)], "accuracy") == f"{name}, 2026-03-02 05:00"


def test_a_runs_name_says_the_worst_window_of_the_day_and_its_retrain():
    worst = record(END - 3 * HOUR, performance="alert", drift="alert", fired=True)
    drift = record(END - 2 * HOUR, drift="alert")
    found = day_name([worst, drift, record()], "accuracy")
    assert found == (
        "ok 0.46 accuracy, worst: decay and drift at 02:00, retrain requested at 02:00, 2026-03-02 05:00"
    )
    long = record(decayed_slices={"region=" + 300 * "x": 0.3})
    assert len(day_name([long], "accuracy")) <= 250, "MLflow refuses longer names"


def test_a_days_tags_have_the_worst_verdicts_and_the_newest_version():
    before = record(END - HOUR, version="2", drift="alert", performance="pending", fired=True, reason="a")
    assert day_tags([before, record(drift="not_computable", reason="b")]) == {
        "homeostat.version": "3",
        "homeostat.drift": "alert",
        "homeostat.performance": "pending",
        "homeostat.fired": "yes",
        "homeostat.reason": "b",
        "homeostat.newest_window": "2026-03-02T05:00:00+00:00",
        "homeostat.windows": "2",
    }


def test_the_line_about_the_day_lists_the_worst_windows():
    assert day_sentence([record()]) == "**Windows of the day:** 1 checked, all ok."
    many = [record(END - n * HOUR / 12, drift="alert") for n in range(60, 0, -1)]
    last = record(performance="alert", fired=True)
    listed = day_sentence([*many, last])
    assert listed.startswith("**Windows of the day:** 61 checked; drift at 04:")
    assert listed.endswith("decay at 05:00 (retrain requested), and 49 more.")
    assert with_day(f"links\n\n{listed}\n\n**Decision:** no", [last]) == (
        "links\n\n**Windows of the day:** 1 checked; decay at 05:00 (retrain requested).\n\n**Decision:** no"
    )


def test_names_of_an_earlier_lambda_function_are_those_of_today():
    old = {"psi.a.b": 1.0, "effect.a": 2.0, "rows": 3.0, "fired": 0.0, "trigger/probes": 4.0}
    new = {"psi/a.b": 1.0, "effect/a": 2.0, "rows": 3.0, "trigger/fired": 0.0, "trigger/probes": 4.0}
    assert with_groups(old) == new


def test_a_months_series_do_not_grow_with_features_and_slices():
    few = {"score": 0.4, "trigger/fired": 1.0}
    many = {f"{kind}/{n:03}": n / 200 for kind in ("effect", "psi", "slice") for n in range(200)}
    assert month_metrics(many | few) == few


@given(
    st.lists(
        st.builds(
            record,
            st.integers(0, 287).map(lambda n: END.replace(hour=0) + n * HOUR / 12),
            drift=st.sampled_from(["alert", "pass", "not_computable"]),
            performance=st.sampled_from(["alert", "pass", "not_computable", "pending"]),
            score=st.none() | st.floats(0, 1),
            fired=st.booleans(),
            decayed_slices=st.dictionaries(st.text(max_size=300), st.floats(0, 1), max_size=3),
            slice_losses=st.dictionaries(st.text(max_size=200), st.just([1.0, 0.5, 0.25]), max_size=50),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda each: each.window_end,
    )
)
def test_a_day_of_any_windows_fits_into_mlflow_and_is_read_back(windows):
    windows = sorted(windows, key=lambda each: each.window_end)
    tags = {}
    for each in windows:
        tags |= record_tag(each)
    run = SimpleNamespace(info=SimpleNamespace(run_id="1"), data=SimpleNamespace(tags=tags))
    assert list(read_records([run]).values()) == windows
    assert all(len(value) <= 8000 for value in tags.values())
    assert len(day_name(windows, "accuracy")) <= 250


def test_a_record_that_no_tag_holds_is_refused_with_the_remedy():
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(200)]
    losses = {"".join(digests[n::50]): [n / 7, n / 11, n / 13] for n in range(50)}
    with pytest.raises(Refused, match=r"name fewer slices in monitor\.slices"):
        record_tag(record(slice_losses=losses))


@pytest.fixture(scope="module")
def checked(mlflow_server):
    """A history in a real MLflow with three windows, one of them checked twice, and its two runs."""
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
    return history, model, *runs_in(history, model)


def runs_in(history, model):
    """Return the only run of a day, and the only run of a month."""
    client = history._mlflow.client
    found = client.search_runs([client.get_experiment_by_name(f"{model}/monitoring").experiment_id])
    [day], [month] = ([run for run in found if tag in run.data.tags] for tag in (DAY, MONTH))
    assert len(found) == 2
    return day, month


def points(history, run, name):
    """Return step and value of each point of a series, in the order of MLflow's charts."""
    found = history._mlflow.client.get_metric_history(run.info.run_id, name)
    return [
        (point.step, point.value) for point in sorted(found, key=lambda each: (each.step, each.timestamp))
    ]


def step(end):
    return int(end.timestamp()) // 60


def test_a_window_without_figures_keeps_those_of_an_earlier_one_with_their_time(mlflow_server):
    history, model = MlflowHistory(mlflow_server), f"pump-{uuid.uuid4().hex[:8]}"
    history.record(model, record(END), metrics={}, artifacts={"drift_over_time.png": PNG})
    history.record(model, record(END + HOUR), metrics={}, artifacts={"report.json": b"{}"})
    day, _ = runs_in(history, model)
    note = day.data.tags["mlflow.note.content"]
    assert f"![drift over time, {END:%H:%M}](get-artifact?path=drift_over_time.png" in note
    assert "reference against window" not in note


def test_names_that_differ_only_in_characters_that_mlflow_refuses_are_series_of_their_own(mlflow_server):
    history, model = MlflowHistory(mlflow_server), f"pump-{uuid.uuid4().hex[:8]}"
    found = {"slice/kind a+b": 0.1, "slice/kind a*b": 0.2, "slice/kind c": 0.3}
    for _ in range(2):
        history.record(model, record(END), metrics=found, artifacts={})
    day, _ = runs_in(history, model)
    series = {name: points(history, day, name) for name in day.data.metrics if name.startswith("slice/")}
    assert sorted(value for each in series.values() for _, value in each) == [0.1, 0.2, 0.3]
    assert series["slice/kind c"] == [(step(END), 0.3)]


def test_the_windows_of_a_day_are_series_in_its_run_and_in_that_of_its_month(checked):
    history, model, day, month = checked
    assert month.info.run_name == "month 2026-03"
    ends = [END + hours * HOUR for hours in range(3)]
    for run in (day, month):
        found = points(history, run, "score")
        assert found == [
            (step(end), score) for end, score in zip([*ends, ends[2]], (0.7, 0.6, 0.5, 0.46), strict=True)
        ]
        assert run.data.metrics["score"] == 0.46, "the columns of MLflow's list have the second check's"
    assert points(history, day, "rows") == [(step(end), 240) for end in ends], (
        "a value that is the same is one point"
    )
    found = history._mlflow.client.get_metric_history(day.info.run_id, "rows")
    assert [point.timestamp for point in found] == [end.timestamp() * 1000 for end in ends]
    assert "effect/a" in day.data.metrics
    assert "effect/a" not in month.data.metrics
    assert [each.window_end for each in history.windows(model)] == ends


def test_a_second_check_adds_what_the_first_did_not_know_and_a_third_nothing(mlflow_server):
    history, model = MlflowHistory(mlflow_server), f"pump-{uuid.uuid4().hex[:8]}"
    pending = record(performance="pending", score=None, decay=None)
    for known in (pending, record(END + HOUR), record(), record(), record(END + HOUR)):
        history.record(model, known, metrics={"effect/a": 0.1}, artifacts={})
    day, month = runs_in(history, model)
    for run in (day, month):
        assert points(history, run, "score") == [(step(END), 0.46), (step(END + HOUR), 0.46)]
        assert points(history, run, "rows") == [(step(END), 240), (step(END + HOUR), 240)]


def test_every_process_finds_the_same_runs(checked, mlflow_server):
    _, model, day, month = checked
    history = MlflowHistory(mlflow_server)
    assert history.record(model, record(END + HOUR), metrics={}, artifacts={}) == day.info.run_id
    assert [run.info.run_id for run in runs_in(history, model)] == [day.info.run_id, month.info.run_id]


def test_a_days_page_begins_with_its_links_and_its_sentences_and_shows_the_newest_figures(
    checked, mlflow_server
):
    _, _, day, month = checked
    assert day.info.run_name == "ok 0.46 accuracy, 2026-03-02 07:00"
    links, windows, decision, inputs, performance, *images = day.data.tags["mlflow.note.content"].split(
        "\n\n"
    )
    assert links.startswith(
        "[run in Airflow](http://airflow:8080/dags/drift_check__pump/runs/scheduled__1) | "
        "[model health](http://airflow:8080/homeostat/health?model=pump) | "
    )
    assert f"/runs/{month.info.run_id})" in links
    assert windows == "**Windows of the day:** 3 checked, all ok."
    assert decision == "**Decision:** Retrain: decay of 0.3."
    assert inputs == "**Inputs:** 2 of 4 features drifted"
    assert performance == "**Performance:** accuracy 0.46, baseline 0.76"
    addresses = [image.partition("](")[2].rstrip(")") for image in images]
    assert len(addresses) == 2
    for address in addresses:  # as the browser resolves them, relative to MLflow's page
        assert requests.get(f"{mlflow_server}/{address}", timeout=30).content == PNG
        assert f"({address})" in links


def test_an_older_window_leaves_files_and_sentences_of_the_newest_and_changes_the_line_of_the_day(
    mlflow_server,
):
    history, model = MlflowHistory(mlflow_server), f"pump-{uuid.uuid4().hex[:8]}"

    def put(known, sentence):
        report = {"trigger": {"sentence": sentence}, "performance": {"metric_title": "accuracy"}}
        history.record(model, known, metrics={}, artifacts={"report.json": json.dumps(report).encode()})

    put(record(END + HOUR), "The newest.")
    put(record(drift="alert"), "An older one.")
    day, _ = runs_in(history, model)
    assert day.info.run_name == "ok 0.46 accuracy, worst: drift at 05:00, 2026-03-02 06:00"
    note = day.data.tags["mlflow.note.content"]
    assert "**Windows of the day:** 2 checked; drift at 05:00." in note
    assert "**Decision:** The newest." in note
    assert day.data.tags["homeostat.drift"] == "alert"
    kept = history._mlflow.client.list_artifacts(day.info.run_id)
    assert [each.path for each in kept] == ["report.json"]
    raw = requests.get(
        f"{mlflow_server}/get-artifact?path=report.json&run_uuid={day.info.run_id}", timeout=30
    ).json()
    assert raw["trigger"]["sentence"] == "The newest."
