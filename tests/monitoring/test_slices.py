"""Watched slices in a drift check, from their reference to the retrain that mends one."""

import json
from datetime import timedelta
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.core.profile import covered_slots, slice_season
from homeostat.explain import explain_window, read_window
from homeostat.monitoring.context import check_context
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.window import WindowCounts
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.storage.bundles import load_version
from homeostat.storage.check_records import find_check
from homeostat.storage.latest_check import load_latest_check
from homeostat.storage.version_info import load_version_info
from sample_model import T0, retrain, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANGE = T0 + 6 * HOUR

#: Every setting but ``monitor.slices`` is the default.
MODEL = """
name: sample
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  timestamp: at
  key: unit
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
    b: {type: number}
    kind: {type: category, categories: [red, blue, green]}
monitor: {slices: [kind, b]}
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
def folder(tmp_path):
    home = tmp_path / "sample"
    home.mkdir()
    (home / "model.yaml").write_text(MODEL)
    (home / "pipeline.py").write_text(PIPELINE)
    rows_of(T0 - 2 * DAY, T0).to_csv(home / "rows.csv", index=False)
    return home


def check_until_fired(config, ports, start, most=12):
    """Check hour by hour; return the answers, the last of which fired."""
    answers = []
    for hours in range(most + 1):
        answers.append(check_drift(config, ports, start + hours * HOUR))
        if answers[-1]["fired"]:
            return answers
    raise AssertionError(answers[-1]["sentence"])


def test_a_slice_that_decays_alone_is_found_named_and_mended(folder, config, ports, champion, ask):
    end = T0 + 4 * DAY
    served = rows_of(T0, end)
    serve(config, ports, served)
    quiet = [check_drift(config, ports, T0 + hours * HOUR) for hours in range(2, 7)]
    assert not any(answer["fired"] or answer["decayed_slices"] for answer in quiet)

    answers = check_until_fired(config, ports, CHANGE + 2 * HOUR)  # labels take an hour
    fired = answers[-1]
    assert fired["reason"] == "slice_decay"
    assert fired["decayed_slices"] == ["kind=red"]
    assert len(answers) <= 12, "some 70 rows of the slice, of which the holdout has 36"
    assert fired["performance"] == "pass", "the whole looks well"
    assert "worse in slice kind=red" in fired["sentence"]
    [notice] = [notice for _, notice in ports.notifier.sent if notice.kind == "trigger_fired"]
    assert "kind=red" in notice.body
    assert dict(notice.figures)["slice kind=red"].startswith("accuracy 0.")
    window_end = pd.Timestamp(fired["window_end"]).to_pydatetime()
    written = ports.history.written["sample", window_end]
    assert written.metrics["slice_decay/kind red"] >= 0.1 > written.metrics["slice_decay/kind blue"]
    assert json.loads(written.artifacts["report.json"])["slices"]["metric"] == "accuracy"
    newest = load_latest_check(ports.store, "sample")
    assert {each.name: each.decayed for each in newest.slices if each.decayed is not None} == {
        each.name: each.name == "kind=red"
        for each in find_check(ports.store, "sample", window_end).slices.results
        if each.performance.verdict in ("pass", "alert")
    }
    assert newest.slices[0].metric == "accuracy"
    assert len(newest.slices) <= config.monitor.max_slices
    check, before, _ = read_window(ports.store, ports.ledger, "sample", window_end)
    story = json.dumps(explain_window("sample", check, before=before).to_json())
    assert "yes  decay of a slice: kind=red" in story
    again = check_drift(config, ports, window_end)
    assert (again["fired"], again["reason"]) == (True, "slice_decay")

    # So soon after the change the holdout version has not seen the new concept: the gate says so.
    first = ask("run 2", trigger_id=fired["trigger_id"], reason="slice_decay", until=fired["window_end"])
    refused = gate_of(config, ports, first, served, folder)
    assert not refused["passed"]
    assert "slice kind=red" in refused["sentence"]
    assert "the candidate is not better there" in refused["sentence"]

    later = check_until_fired(config, ports, end - 8 * HOUR)[-1]
    assert later["reason"] == "slice_decay"
    second = ask("run 3", trigger_id=later["trigger_id"], reason="slice_decay", until=later["window_end"])
    passed = gate_of(config, ports, second, served, folder)
    assert passed["passed"], passed["sentence"]
    [reason] = [check["reason"] for check in passed["checks"] if check["name"] == "slices"]
    assert reason.startswith("mended slice kind=red: accuracy 0.")
    retrain(config, ports, second, to_the_end=False)
    version = ports.registry.version("sample", "2")
    assert dict(version.tags)["homeostat.reason"] == "slice_decay"
    rows, wrong, *_ = load_version_info(ports.store, "sample", version.digest)["slice_losses"]["kind=red"]
    assert wrong / rows < 0.5, "the next version is measured by what it reached there"
    predictor = load_version(ports, config, version.digest).predictor
    new = rows_of(end, end + DAY)
    red = new[new["kind"] == "red"]
    assert (predictor.predict(red).prediction == red["y"]).mean() > 0.75, (
        "what serves has learnt it; the champion reaches 0.08"
    )


def gate_of(config, ports, request, served, folder):
    """Run a retrain up to its gate, on the rows whose labels are known by then."""
    known = served[served["at"] < pd.Timestamp(request.until) - HOUR]
    pd.concat([rows_of(T0 - 2 * DAY, T0), known]).to_csv(folder / "rows.csv", index=False)
    assemble(config, request, ports)
    for step in (train, validate):
        step(config, request.run_key, ports)
    return gate(config, request.run_key, ports)


def watch(folder, text):
    """Return the configuration with other settings of ``monitor``."""
    path = folder / "model.yaml"
    path.write_text(MODEL.replace("{slices: [kind, b]}", text))
    return load_model(folder)


def test_the_slices_of_a_window_add_up_to_it(config, ports, champion):
    serve(config, ports, rows_of(T0, T0 + 4 * HOUR))
    context = check_context(config, ports, ports.ledger.read("sample").champion)
    window = WindowCounts(context, T0, T0 + 4 * HOUR)
    slicings = context.reference.slices.slices.slicings
    assert [slicing.feature for slicing in slicings] == ["kind", "b"]
    for slicing in slicings:
        assert reduce(add, [window.slices[name] for name in slicing.names]) == window.rows
    again = WindowCounts(context, T0, T0 + 4 * HOUR)  # from the stored sum
    assert again.slices == window.slices


def test_a_version_without_slices_is_watched_from_the_next_one_on(folder, config, ports, ask):
    plain = watch(folder, "{}")
    retrain(plain, ports, ask())
    serve(plain, ports, rows_of(T0, T0 + 4 * HOUR))
    before = check_drift(plain, ports, T0 + 4 * HOUR)
    answer = check_drift(config, ports, T0 + 4 * HOUR)
    assert (answer["verdict"], answer["decayed_slices"]) == (before["verdict"], [])
    report = find_check(ports.store, "sample", T0 + 4 * HOUR).slices
    assert report.results == ()
    assert (
        "version 1 was registered without slices: monitor.slices counts from the next version"
        in report.reason
    )


def test_other_slices_count_from_the_next_version_on(folder, config, ports, champion):
    serve(config, ports, rows_of(T0, T0 + 4 * HOUR))
    check_drift(watch(folder, "{slices: [kind]}"), ports, T0 + 4 * HOUR)
    report = find_check(ports.store, "sample", T0 + 4 * HOUR).slices
    assert "registered with other slices" in report.reason
    assert {each.name for each in report.results} >= {"kind=red", "b (rest)"}
    check_drift(watch(folder, "{}"), ports, T0 + 4 * HOUR)
    assert find_check(ports.store, "sample", T0 + 4 * HOUR).slices is None


SEASON = "{slices: [kind], season: hour_of_day}"


@pytest.fixture
def days(folder):
    """The folder with rows enough for a holdout of every hour of the day."""
    rows_of(T0 - 12 * DAY, T0).to_csv(folder / "rows.csv", index=False)
    return folder


def test_with_a_season_a_slice_is_compared_with_its_own_hours(days, ports, ask):
    config = watch(days, SEASON)
    retrain(config, ports, ask())
    served = rows_of(T0, T0 + 6 * HOUR)
    served.loc[(served["kind"] == "green") & (served["at"] >= T0 + 3 * HOUR), "b"] += 3
    serve(config, ports, served)
    for hours in (2, 3, 6):
        check_drift(config, ports, T0 + hours * HOUR)
    before, after = (find_check(ports.store, "sample", T0 + hours * HOUR).slices for hours in (3, 6))
    assert before.reason == after.reason == ""
    assert {each.name: each.drift.verdict for each in before.results} == {
        "kind=blue": "pass",
        "kind=green": "pass",
        "kind=red": "not_computable",
        "kind (rest)": "not_computable",
    }
    assert after.drifted == ("kind=green",)
    assert {each.name: each.drift.drifted for each in after.results}["kind=green"] == ("b",)


def test_the_hours_of_the_slices_of_a_window_add_up_to_its_own(days, ports, ask):
    config = watch(days, "{slices: [kind, b], season: hour_of_day}")
    retrain(config, ports, ask())
    serve(config, ports, rows_of(T0, T0 + 5 * HOUR))
    context = check_context(config, ports, ports.ledger.read("sample").champion)
    window = WindowCounts(context, T0, T0 + 5 * HOUR)
    own = context.reference.slices
    for slicing in own.slices.slicings:
        total = reduce(add, [window.slice_slots[name] for name in slicing.names])
        assert total.tolist() == window.per_slot.tolist()
        for name in slicing.names:
            known = window.slice_slots[name][covered_slots(own.seasons[name])]
            assert window.slices[name].rows == known.sum()
    again = WindowCounts(context, T0, T0 + 5 * HOUR)  # from the stored sum
    assert again.slices == window.slices
    assert {name: rows.tolist() for name, rows in again.slice_slots.items()} == {
        name: rows.tolist() for name, rows in window.slice_slots.items()
    }


def test_rows_of_hours_that_a_slice_never_had_are_left_out_and_said_to_be(days, ports, ask):
    config, rows = watch(days, SEASON), rows_of(T0 - 12 * DAY, T0)
    hours = rows["at"].dt.hour
    rows[(rows["kind"] != "green") | (hours < 3) | (hours > 9)].to_csv(days / "rows.csv", index=False)
    retrain(config, ports, ask())
    context = check_context(config, ports, ports.ledger.read("sample").champion)
    season = context.reference.slices.seasons["kind=green"]
    lacking = [hour for hour in range(24) if not covered_slots(season)[hour]]
    start = T0.replace(hour=0) + DAY
    serve(config, ports, rows_of(start, start + 12 * HOUR))
    check_drift(config, ports, start + 12 * HOUR)
    found = {each.name: each for each in find_check(ports.store, "sample", start + 12 * HOUR).slices.results}
    window = WindowCounts(context, start, start + 12 * HOUR)
    left_out = int(window.slice_slots["kind=green"][lacking].sum())
    assert left_out > 0
    assert found["kind=green"].drift.reason.endswith(
        f"{left_out} rows left out: the reference of this slice has none of their hours"
    )


@pytest.mark.parametrize("why", ["before", "too many"])
def test_a_version_whose_slices_have_no_season_is_read_and_says_why(days, ports, ask, monkeypatch, why):
    config = watch(days, SEASON)
    if why == "too many":
        monkeypatch.setattr(slice_season, "MAX_COUNTS", 1000)
        monkeypatch.setattr("homeostat.monitoring.slices.MAX_COUNTS", 1000)
    else:  # what earlier releases stored
        monkeypatch.setattr("homeostat.core.profile.slices.fit_slice_seasons", lambda *_: {})
    retrain(config, ports, ask())
    serve(config, ports, rows_of(T0, T0 + 5 * HOUR))
    for hours in (2, 3, 4, 5):
        answer = check_drift(config, ports, T0 + hours * HOUR)
    assert answer["verdict"] == "pass", "the whole has its season"
    report = find_check(ports.store, "sample", T0 + 5 * HOUR).slices
    expected = {
        "before": "version 1 was trained before slices had a season: their drift counts from the next",
        "too many": "would have more than 1,000 counts: list fewer in monitor.slices",
    }[why]
    assert expected in report.reason
    by_name = {each.name: each for each in report.results}
    assert by_name["kind=blue"].drift.verdict == "not_computable"
    assert expected in by_name["kind=blue"].drift.reason
    assert by_name["kind=blue"].performance.verdict == "pass"


def test_a_season_that_the_version_lacks_counts_from_the_next_one(days, ports, ask):
    retrain(watch(days, "{slices: [kind]}"), ports, ask())
    config = watch(days, SEASON)
    serve(config, ports, rows_of(T0, T0 + 5 * HOUR))
    answer = check_drift(config, ports, T0 + 5 * HOUR)
    assert answer["verdict"] == "pass"
    report = find_check(ports.store, "sample", T0 + 5 * HOUR).slices
    assert report.reason == ""
    assert {each.name: each.drift.verdict for each in report.results}["kind=blue"] == "pass"
