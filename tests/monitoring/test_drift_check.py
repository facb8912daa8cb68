"""A drift check on fake ports: verdicts, the trigger, notices, and repeated checks."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.model import Source
from homeostat.core.rollout import Plan, VersionRef, begin, promote
from homeostat.core.trigger import WindowRecord
from homeostat.monitoring import drift_check
from homeostat.monitoring.context import check_context
from homeostat.monitoring.drift_check import check_drift, window_end_of
from homeostat.monitoring.window import WindowCounts
from homeostat.retraining.assemble import assemble
from homeostat.rollouts.manual import manual_promote
from homeostat.storage import prediction_log as log
from homeostat.storage.latest_check import load_latest_check
from sample_model import T0, notices, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def check(config, ports, hours):
    return check_drift(config, ports, T0 + hours * HOUR)


def test_without_a_champion_there_is_nothing_to_compute(config, ports):
    answer = check(config, ports, 1)
    assert (answer["verdict"], answer["fired"]) == ("not_computable", False)
    assert "retrain__sample" in answer["sentence"]


def test_an_empty_window_is_not_computable_and_sends_a_notice(config, ports, champion):
    answer = check(config, ports, 4)
    assert answer["verdict"] == "not_computable"
    assert not answer["fired"]
    assert notices(ports) == ["not_computable"]


def test_unchanged_data_passes(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, seed=1))
    answer = check(config, ports, 4)
    assert (answer["verdict"], answer["fired"], answer["drifted_share"]) == ("pass", False, 0.0)


def test_drift_fires_in_the_second_window_once(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5), labels=False)
    answers = [check(config, ports, hours) for hours in (4, 5, 6, 7)]
    assert [a["verdict"] for a in answers] == ["alert"] * 4
    assert [a["fired"] for a in answers] == [False, True, False, False]
    assert answers[1]["reason"] == "sustained_drift"
    assert answers[1]["trigger_id"] == "sample/2026-03-02T05:00:00+00:00"
    assert notices(ports) == ["trigger_fired"]


@pytest.mark.parametrize("labels", [False, True])
def test_checking_a_window_again_changes_nothing(config, ports, champion, labels):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5), labels=labels)
    first = [check(config, ports, hours) for hours in (4, 5, 6)]
    records = ports.history.windows("sample")
    again = [check(config, ports, hours) for hours in (4, 5, 6)]
    assert [a["fired"] for a in again] == [a["fired"] for a in first]
    records_again = ports.history.windows("sample")  # a window before one that fired says so the second time
    assert [replace(r, reason="") for r in records_again] == [replace(r, reason="") for r in records]
    assert [r.window_end for r in records] == [T0 + h * HOUR for h in (4, 5, 6)]
    assert sum(r.fired for r in records) == 1


def test_the_newest_check_is_stored_with_the_time_of_the_newest_label(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 6 * HOUR, seed=1))
    check(config, ports, 6)
    [record] = ports.history.windows("sample")
    found = load_latest_check(ports.store, "sample")
    assert (found.window_end, found.version) == (T0 + 6 * HOUR, "1")
    assert (found.drift, found.performance) == (record.drift, record.performance) == ("pass", "pass")
    assert (found.decay, found.drifted_share) == (record.decay, 0.0)
    assert {each.name: each.role for each in found.features} == {
        **dict.fromkeys(config.feature_names, "input"),
        **dict.fromkeys(("prediction", "confidence"), "output"),
    }
    # A row a minute, whose label takes an hour; labels of the window's last minute belong to the next check.
    assert found.newest_label == T0 + 6 * HOUR - timedelta(minutes=2)
    assert found.input_features == len(config.feature_names)


def test_a_window_that_fired_keeps_the_champion_of_that_time(config, ports, champion, ask):
    """Otherwise its retrain would count as refused, and the next one would wait."""
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5), labels=False)
    for hours in (4, 5):
        check(config, ports, hours)
    request = ask("run 2")
    retrain(config, ports, request, to_the_end=False)
    manual_promote(config, ports, "2", by="test", reason="test")
    again = check(config, ports, 5)
    assert (again["fired"], again["reason"]) == (True, "sustained_drift")
    assert [(r.version, r.fired) for r in ports.history.windows("sample")] == [("1", False), ("1", True)]


def test_concept_drift_fires_although_the_inputs_have_not_drifted(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 6 * HOUR, flip=True))
    answer = check(config, ports, 5)
    assert answer["verdict"] == "pass"
    assert answer["performance"] == "alert"
    assert (answer["fired"], answer["reason"]) == (True, "performance_decay_critical")


def test_labels_for_ids_that_were_never_logged_are_counted_apart_and_said(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 5 * HOUR))
    assert check(config, ports, 4)["unlogged_labels"] == 0
    known = T0 + 3.5 * HOUR
    wrong = {"prediction_id": ["order-1", "order-2"], "label": [1, 0], "at": [known] * 2}
    log.write_labels(ports.store, config, "g9", 1, wrong | {"received_at": [known] * 2})
    answer = check(config, ports, 4)
    assert answer["unlogged_labels"] == 2
    assert answer["performance"] == "pass", "they say nothing about the predictions"
    said = "(2 of 62 new labels belong to no prediction logged since 2026-03-01 01:59 UTC: check the ids"
    assert said in answer["sentence"]
    assert ports.history.windows("sample")[-1].unlogged_labels == 2
    report = json.loads(ports.history.written["sample", T0 + 4 * HOUR].artifacts["report.json"])
    assert report["labels"] == {"new": 62, "unlogged": 2, "since": "2026-03-01T01:59:00+00:00"}


def test_labels_of_classes_that_are_not_listed_are_no_decay(config, ports, champion):
    """Labels that an earlier release accepted, 1 and 0 for Yes and No."""
    serve(config, ports, rows_between(T0, T0 + 5 * HOUR))
    known = [T0 + 4 * HOUR - timedelta(seconds=9)] * 20
    ids = [f"g1-{at:%d%H%M%S}-{i}" for i, at in enumerate(rows_between(T0, T0 + 5 * HOUR)["at"])]
    wrong = {"prediction_id": ids[120:140], "label": ["maybe"] * 20, "at": known}
    early = [T0 + 2 * HOUR] * 20  # before the right ones, which are dropped as duplicates
    log.write_labels(ports.store, config, "g9", 1, wrong | {"received_at": early})
    label = config.columns.label.model_copy(update={"classes": ("0", "1")})
    listed = config.model_copy(update={"columns": config.columns.model_copy(update={"label": label})})
    listed._folder = config._folder
    assert check(config, ports, 4)["performance"] == "alert"
    assert check(listed, ports, 4)["performance"] != "alert"
    assert (ports.history.windows("sample")[-1].labelled_rows, len(ids[120:180])) == (40, 60)


def test_without_labels_performance_is_pending(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR), labels=False)
    assert check(config, ports, 4)["performance"] == "pending"


def test_a_late_log_file_is_counted_at_the_next_check(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR))
    check(config, ports, 4)
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, seed=5), gateway="g2")
    check(config, ports, 4)
    assert ports.history.windows("sample")[-1].rows == 480


def test_an_hour_is_counted_once_whatever_the_window(config, ports, champion, monkeypatch):
    from homeostat.storage import label_join
    from homeostat.storage import prediction_log as log

    serve(config, ports, rows_between(T0, T0 + 6 * HOUR))
    check(config, ports, 5)
    read = []
    original = log.read_predictions
    monkeypatch.setattr(log, "read_predictions", lambda *a, **k: read.append(a[2]) or original(*a, **k))
    unlabelled = lambda *a, **k: original(*a[:4]).rows.iloc[:0].assign(y=[])  # noqa: E731
    monkeypatch.setattr(label_join, "read_labelled", unlabelled)
    check(config, ports, 6)
    assert T0 + 5 * HOUR in read
    assert len([start for start in read if start < T0 + 5 * HOUR]) == 0


def test_unknown_columns_and_new_categories_are_schema_findings(config, ports, champion):
    rows = rows_between(T0, T0 + 4 * HOUR)
    rows["kind"] = "green"
    serve(config, ports, rows, extra="oil_pressure")
    check(config, ports, 4)
    (key,) = ports.store.list("reports/sample/")
    found = {(f["column"], f["kind"]) for f in json.loads(ports.store.get(key))["schema"]}
    assert {("oil_pressure", "new"), ("kind", "new_category")} <= found


def test_the_run_has_the_report_and_of_an_alert_the_figures(config, ports, champion):
    ports = replace(ports, renders_figures=True)
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, shift=3.0))
    check(config, ports, 4)
    [window], artifacts = (
        ports.history.windows("sample"),
        ports.history.written["sample", T0 + 4 * HOUR].artifacts,
    )
    assert window.alerting
    assert {"report.json", "drift_over_time.png", "reference_against_window.png"} <= set(artifacts)
    json.loads(artifacts["report.json"], parse_constant=pytest.fail)
    assert artifacts["drift_over_time.png"].startswith(b"\x89PNG")


def test_a_calm_window_in_the_middle_of_its_day_has_no_figures(config, ports, champion):
    ports = replace(ports, renders_figures=True)
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR))
    check(config, ports, 4)
    [window] = ports.history.windows("sample")
    assert not window.alerting
    assert set(ports.history.written["sample", T0 + 4 * HOUR].artifacts) == {"report.json"}


def test_the_window_begins_where_the_champions_own_data_ended(config, ports, champion):
    serve(config, ports, rows_between(T0 - 3 * HOUR, T0 - HOUR, shift=3.0), gateway="old")
    serve(config, ports, rows_between(T0, T0 + 2 * HOUR))
    assert check(config, ports, 2)["verdict"] == "pass"


@pytest.mark.parametrize(
    ("asked", "end"),
    [
        ("2026-03-02T07:30Z", T0 + 7.5 * HOUR),
        ("2026-03-02T07:00", T0 + 7 * HOUR),
        (T0 + 7.9 * HOUR, T0 + 7 * HOUR),
    ],
)
def test_a_given_time_is_taken_as_it_is_and_the_clock_is_rounded_down(config, asked, end):
    assert window_end_of(config, asked) == end


def test_records_survive_json():
    record = WindowRecord(T0, "1", 5, "pass", 0.0, "pending", None, None)
    assert WindowRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_a_batch_model_is_checked_on_its_source(folder, ports, ask):
    path = folder / "model.yaml"
    path.write_text(path.read_text() + "serve: none\n")
    config = load_model(folder)
    retrain(config, ports, ask())
    later = rows_between(T0, T0 + 8 * HOUR, flip=True, shift=1.5)
    pd.concat([pd.read_csv(folder / "rows.csv"), later]).to_csv(folder / "rows.csv", index=False)
    answer = check(config, ports, 6)
    assert (answer["verdict"], answer["performance"]) == ("alert", "alert")
    assert answer["fired"]
    assert ports.history.windows("sample")[-1].rows == 240


@pytest.mark.parametrize("season", ["none", "hour_of_day"])
def test_a_batch_model_of_an_engine_is_counted_there_and_scored_on_a_sample(folder, ports, ask, season):
    pytest.importorskip("ibis")
    path, rows = folder / "model.yaml", pd.read_csv(folder / "rows.csv")
    source = "source: {kind: engine, uri: 'duckdb://rows.parquet'}"
    text = re.sub(r"^source:.*$", source, path.read_text(), flags=re.MULTILINE)
    text = text.replace("monitor: {", f"monitor: {{season: {season}, slices: [kind, a], ")
    path.write_text(text.replace("training: {", "training: {max_rows: 6000, ") + "serve: none\n")
    config = load_model(folder)
    assert config.training.max_rows == 6000
    as_parquet(rows, folder)
    retrain(config, ports, ask())
    later = rows_between(T0, T0 + 8 * HOUR, flip=True, shift=1.5)
    as_parquet(pd.concat([rows, later]), folder)
    small = config.model_copy(update={"training": config.training.model_copy(update={"max_rows": 100})})
    answer = check(small, ports, 6)
    # Its holdout has no rows of these hours.
    rows, verdict = (240, "alert") if season == "none" else (0, "not_computable")
    assert (answer["rows"], answer["verdict"], answer["performance"]) == (rows, verdict, "alert")
    local = config.model_copy(update={"source": Source(kind="parquet", uri="rows.parquet")})
    context = check_context(small, ports, ports.ledger.read("sample").champion)
    found, expected = (
        WindowCounts(replace(context, config=each), T0 - 30 * HOUR, T0 + 6 * HOUR) for each in (small, local)
    )
    assert found.rows.rows == expected.rows.rows > 240
    assert found.left_out == expected.left_out
    assert found.per_slot.tolist() == expected.per_slot.tolist()
    assert found.slices.keys() == expected.slices.keys()
    assert len(found.slices) > 4
    assert {name: rows.tolist() for name, rows in found.slice_slots.items()} == {
        name: rows.tolist() for name, rows in expected.slice_slots.items()
    }
    assert bool(found.slice_slots) is (season != "none")
    for name in ("a", "b", "kind"):
        assert found.rows.features[name] == expected.rows.features[name]
        for part, profile in expected.slices.items():
            assert found.slices[part].features[name] == profile.features[name]


def as_parquet(rows, folder):
    times = pd.to_datetime(rows["at"], utc=True, format="ISO8601")
    rows.assign(at=times).to_parquet(folder / "rows.parquet", index=False)


def test_a_retrain_under_way_blocks_the_trigger(config, ports, champion, ask):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5), labels=False)
    assemble(config, ask("by hand"), ports)
    answers = [check(config, ports, hours) for hours in (4, 5, 6)]
    assert [a["fired"] for a in answers] == [False, False, False]
    assert answers[-1]["reason"] == "retrain_under_way"
    ports.ledger.release_lease("sample", ask("by hand").run_key)
    assert check(config, ports, 7)["fired"]


def test_a_version_that_is_replaced_while_it_is_checked_fires_nothing(
    config, ports, champion, ask, monkeypatch
):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5), labels=False)
    check(config, ports, 4)
    compare = drift_check.version_to_reinstate

    def promoted_meanwhile(*args):
        done = promote(ports.ledger.read("sample"), VersionRef("9", "e" * 64), T0 + 5 * HOUR, "by hand")
        ports.ledger.write(done.traffic, kind=done.kind, reason=done.reason, by="test", at=T0 + 5 * HOUR)
        return compare(*args)

    monkeypatch.setattr(drift_check, "version_to_reinstate", promoted_meanwhile)
    answer = check(config, ports, 5)
    assert (answer["fired"], answer["reason"]) == (False, "before_promotion")


def test_a_rollout_that_outlives_its_lease_blocks_the_trigger(config, ports, champion, ask):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5), labels=False)
    traffic = ports.ledger.read("sample")
    begun = begin(traffic, VersionRef("9", "e" * 64), "slow", Plan.of(config), T0)
    ports.ledger.write(begun.traffic, kind=begun.kind, reason=begun.reason, by="test", at=T0)
    answers = [check(config, ports, hours) for hours in (4, 5, 6)]
    assert [a["fired"] for a in answers] == [False, False, False]
    assert answers[-1]["reason"] == "retrain_under_way"
    assert "slow" in answers[-1]["sentence"]
