"""The view of one model and of the fleet: bands, marks, series, heat map, links."""

import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from health_story import END, HOUR, NOW, failing_model, promoted, record, report, save_window, summary
from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.core.model_health import (
    MAX_WINDOWS,
    AlertRuns,
    EndedRetrain,
    FeatureEffect,
    Links,
    ModelFacts,
    ModelPast,
    StepTraffic,
    WindowSummary,
    findings,
    fleet,
    model_view,
    upcoming,
)
from homeostat.core.model_health.series import bands, heat_map, metric_of, series
from homeostat.core.model_health.states import as_sentence
from homeostat.core.rollout import Traffic, VersionRef, roll_back
from homeostat.monitoring.model_health import read_fleet, read_model

MINUTE = timedelta(minutes=1)
LINKS = Links("http://airflow.test", "http://mlflow.test", "http://gateway.test")


@pytest.fixture
def ledger():
    found = MemoryLedger()
    failing_model(found)
    return found


@pytest.fixture
def view(ledger):
    return read_model(ledger, "pump", NOW, links=LINKS)


def test_the_story_is_told_in_the_order_a_woken_person_needs_it(view):
    assert view["state"]["state"] == "failing"
    assert view["state"]["since"] == (END - 8 * HOUR).isoformat()
    assert "0.46" in view["state"]["sentence"]
    assert "0.76" in view["state"]["sentence"]
    assert [mark["title"] for mark in view["done"]] == [
        "Candidate refused",
        "Retrain requested",
        "Version 2 promoted",  # how the version that serves came to be
    ]
    assert "Retrains have not helped" in view["left"][0]
    assert view["next"][0]["at"] == (END + HOUR).isoformat()
    assert view["settings"]["trigger.critical_decay"] == "0.15"
    json.dumps(view, allow_nan=False)


def due(facts):
    """When the next check is, and what is said of it."""
    (found,) = [each for each in upcoming(facts) if "Drift check" in each.sentence]
    return found


def test_the_next_check_is_at_the_delay_after_its_window_and_late_only_after_it():
    newest = summary(record(), delay=timedelta(minutes=25))
    champion = replace(Traffic("pump"), champion=VersionRef("2", "0" * 64))
    facts = ModelFacts("pump", END + 84 * MINUTE, champion, newest)
    assert due(facts).at == END + 85 * MINUTE
    assert "late" not in due(facts).sentence
    assert "late: 1 missed" in due(replace(facts, now=END + 145 * MINUTE)).sentence
    own = replace(newest, delay=None)
    assert due(replace(facts, newest=own)).at is None
    for each in (newest, own):
        assert WindowSummary.from_json(json.loads(json.dumps(each.to_json()))) == each


@pytest.mark.parametrize(("minutes", "said"), [(1, ""), (9, ""), (10, " It is late: 30 missed.")])
def test_checks_of_seconds_are_due_and_late_only_after_ten_minutes(minutes, said):
    newest = summary(record(), every=timedelta(seconds=20), checked_at=END + timedelta(seconds=1))
    champion = replace(Traffic("pump"), champion=VersionRef("2", "0" * 64))
    found = due(ModelFacts("pump", END + timedelta(seconds=20) + minutes * MINUTE, champion, newest))
    assert found.at == END + timedelta(seconds=20)
    assert found.sentence == f"Drift check of the next window, one every 20 seconds (monitor.every).{said}"


def test_a_summary_of_an_older_release_was_checked_at_the_end_of_its_window():
    raw = summary().to_json()
    del raw["delay_seconds"]
    assert WindowSummary.from_json(raw).next_check == END + HOUR


def test_versions_are_bands_without_a_gap(view):
    first, second = view["bands"]
    assert (first["version"], second["version"]) == ("1", "2")
    assert second["start"] == first["end"]
    assert second["end"] == END.isoformat()


def test_marks_say_what_happened_and_why_and_link_to_the_run(view):
    kinds = [mark["kind"] for mark in view["marks"]]
    assert kinds == ["promoted", "rollout", "rollout", "rollout", "promoted", "triggered", "refused"]
    refused = view["marks"][-1]
    assert refused["reason"] == "The candidate is worse than the champion."
    assert refused["run"] == "http://airflow.test/dags/retrain__pump/runs/asset__1"
    assert refused["url"] == "http://mlflow.test/#/runs/r1"


def test_a_champion_taken_back_is_told_from_a_candidate_refused(ledger):
    back = roll_back(ledger.read("pump"), "too many errors", NOW)
    ledger.write(back.traffic, kind=back.kind, reason=back.reason, by="gateway-1", at=NOW)
    last = read_model(ledger, "pump", NOW)["marks"][-1]
    assert (last["kind"], last["title"]) == ("rolled_back", "Rolled back from version 2 to 1")
    assert last["reason"] == "Too many errors."


def test_the_score_has_its_interval_and_the_baseline_of_its_version(view):
    columns = view["series"]
    assert columns["time"][-1] == END.timestamp()
    assert columns["score"][-1] == 0.46
    assert (columns["low"][-1], columns["high"][-1]) == pytest.approx((0.46 - 0.0196, 0.46 + 0.0196))
    assert set(columns["baseline"]) == {0.76}
    assert columns["p99_ms"][-1] == 9.0
    assert {len(column) for column in columns.values()} == {48}


def test_the_heat_map_has_the_feature_that_moved_most_first(view):
    first, second = view["heat_map"]["features"]
    assert (first["name"], second["name"]) == ("a", "b")
    assert (first["effects"][-1], first["verdicts"][-1]) == (0.6, "a")
    assert (first["effects"][0], first["verdicts"][0]) == (0.02, "p")
    assert view["series"]["report"][-1] == (
        "http://mlflow.test/#/experiments/1/runs/abc/artifacts/reference_against_window.png?q=1"
    )
    with_figure = [
        time for time, url in zip(view["series"]["time"], view["series"]["report"], strict=True) if url
    ]
    ends = [datetime.fromtimestamp(time, UTC) for time in with_figure]
    assert [end.hour for end in ends[:-1]] == [23] * (len(ends) - 1), "MLflow has the figures of a day's last"
    assert len(ends) == 3


def test_slices_and_pages_of_the_versions_are_there(view):
    version = view["versions"][-1]
    assert version["slices"] == [{"name": "colour=red", "score": 0.7, "rows": 300}]
    assert version["run"] == "http://airflow.test/dags/retrain__pump/runs/manual__2"
    assert view["links"]["gateway"] == "http://gateway.test/fleet?model=pump"


@pytest.mark.parametrize(
    ("dag_run", "page", "link"),
    [
        ("asset__1", "/dags/ml_retrain__pump/runs/asset__1", "/dags/ml_retrain__pump/runs/asset__1"),
        ("other/run", "/dags/other/runs/run", "/dags/other/runs/run"),
        ("asset__1", "", "/dags/retrain__pump/runs/asset__1"),
        ("cli__0af3", "", None),
        ("-", "", None),
    ],
    ids=["prefix", "dag of another team", "older record", "command line", "none"],
)
def test_a_run_is_linked_by_its_recorded_page(dag_run, page, link):
    assert LINKS.run("pump", dag_run, page) == (f"http://airflow.test{link}" if link else "")


@pytest.mark.parametrize(
    ("newest", "retrain", "prefix"),
    [
        ("/dags/ml%2Ddrift_check__pump/runs/1", "/dags/x_retrain__pump/runs/1", "ml-"),
        ("", "/dags/x_retrain__pump/runs/1", "x_"),
        ("/dags/another/runs/1", "", ""),
        ("", "", ""),
    ],
)
def test_the_dags_are_linked_with_the_prefix_of_the_last_runs(newest, retrain, prefix):
    ended = EndedRetrain(NOW, "promoted", "champion", "it is champion.", airflow_page=retrain)
    facts = ModelFacts("pump", NOW, Traffic("pump"), replace(summary(), airflow_page=newest), ended)
    found = model_view(facts, ModelPast(), LINKS)["links"]
    assert found["drift_check"] == f"http://airflow.test/dags/{prefix}drift_check__pump"
    assert found["retrain"] == f"http://airflow.test/dags/{prefix}retrain__pump"


def test_the_next_check_of_replayed_traffic_has_no_time():
    replayed = replace(summary(), checked_at=END + 300 * 24 * HOUR)
    facts = ModelFacts("pump", replayed.checked_at, Traffic("pump", champion=VersionRef("2", "d")), replayed)
    (check,) = [each for each in upcoming(facts) if each.sentence.startswith("Drift check")]
    assert check.at is None
    assert "late" not in check.sentence


def test_a_sentence_neither_repeats_nor_changes_the_models_name():
    assert as_sentence("pump: it failed", "pump") == "It failed."
    assert as_sentence("pump version 2 was refused.", "pump") == "pump version 2 was refused."
    assert as_sentence("it failed") == "It failed."


def test_without_addresses_there_are_no_links(ledger):
    found = read_model(ledger, "pump", NOW)
    assert found["links"] == {}
    assert {mark["run"] for mark in found["marks"]} == {""}


def test_a_person_who_rolled_back_is_named_with_the_reason_whatever_happened_since(ledger):
    back = roll_back(ledger.read("pump"), "the labels say so", NOW)
    # An earlier release wrote the event a moment before the time that it holds.
    earlier = NOW - timedelta(milliseconds=1)
    ledger.write(back.traffic, kind=back.kind, reason=back.reason, by="ann, command line", at=earlier)
    later = NOW + 2 * HOUR
    save_window(ledger, "pump", summary(record(later, "1", drift="alert", impact="not_shown")))
    found = read_model(ledger, "pump", later + MINUTE)
    assert found["state"]["state"] == "drifting"
    assert found["state"]["since"] == later.isoformat()
    last = found["done"][-1]
    assert (last["title"], last["by"]) == ("Rolled back from version 2 to 1", "ann, command line")
    assert (last["reason"], last["at"]) == ("The labels say so.", earlier.isoformat())


def test_the_score_has_its_mean_and_the_newest(ledger, view):
    assert view["score"] == {
        "text": "accuracy 0.46 over the last 10 checks, newest 0.46",
        "metric": "accuracy",
        "mean": 0.46,
        "checks": 10,
        "newest": 0.46,
        "baseline": 0.76,
    }
    save_window(
        ledger, "pump", summary(record(END + HOUR, score=0.22), report("alert", 0.589, 0.93, batches=6))
    )
    found = read_model(ledger, "pump", NOW + HOUR)
    assert found["score"]["text"] == "accuracy 0.589 over the last 6 checks, newest 0.22"
    (row,) = read_fleet(ledger, [], NOW + HOUR)["models"]
    assert (row["score"], row["newest_score"]) == (0.589, 0.22)
    assert row["score_text"] == found["score"]["text"]
    assert read_model(ledger, "none", NOW)["score"] is None


@pytest.mark.parametrize(
    ("metric", "score", "error", "interval"),
    [
        ("accuracy", 0.99, 0.05, (0.892, 1.0)),
        ("f1", 0.02, 0.05, (0.0, 0.118)),
        ("mae", 0.02, 0.05, (0.0, 0.118)),
        ("mae", 7.0, 0.5, (6.02, 7.98)),
        ("r2", -0.5, 1.0, (-2.46, 1.0)),
    ],
)
def test_the_interval_is_within_the_range_of_the_metric(metric, score, error, interval):
    made = replace(report("pass", score), metric=metric)
    columns = series([summary(record(), made, score_error=error)])
    assert (columns["low"][0], columns["high"][0]) == pytest.approx(interval)


@pytest.mark.parametrize(
    ("metric", "limits"), [("roc_auc", (0.0, 1.0)), ("r2", (None, 1.0)), ("log_loss", (0.0, None))]
)
def test_the_charts_know_the_range_of_the_metric(metric, limits):
    found = metric_of([summary(record(), replace(report("pass", 0.5), metric=metric))])
    assert (found["low"], found["high"]) == limits


def test_a_range_leaves_out_what_was_before_it(ledger):
    promoted(ledger, "pump", "1", NOW)
    assert len(read_model(ledger, "pump", NOW + 6 * 24 * HOUR, range_name="7d")["series"]["time"]) == 24
    assert read_model(ledger, "pump", NOW + 60 * 24 * HOUR, range_name="7d")["series"]["time"] == []


def test_the_state_is_that_of_the_newest_window_even_when_the_range_is_empty(ledger):
    later = read_model(ledger, "pump", NOW + 60 * 24 * HOUR, range_name="7d")
    assert [later["state"]["state"], *(other["state"] for other in later["also"])] == [
        "failing",
        "unchecked",
        "drifting",
    ]


def test_a_long_range_is_thinned_and_keeps_every_window_that_fired():
    ledger = MemoryLedger()
    failing_model(ledger, hours=1000)
    found = read_model(ledger, "pump", NOW, range_name="all")
    assert len(found["series"]["time"]) <= MAX_WINDOWS + 1
    assert found["windows"]["checked"] == 1000
    assert sum(found["series"]["fired"]) == 1
    assert found["series"]["time"][-1] == END.timestamp()


def test_scores_by_another_metric_are_left_out():
    other = report("pass", 0.4, metric_title="F1 of 'yes'")
    columns = series([summary(record(END - HOUR), other), summary()])
    assert columns["score"] == [None, 0.75]


def test_the_fleet_is_sorted_worst_first_and_has_models_that_only_have_a_folder(ledger):
    promoted(ledger, "quiet", "2", END - HOUR)
    rows = read_fleet(ledger, ["new"], NOW)["models"]
    assert [(row["model"], row["state"]) for row in rows] == [
        ("pump", "failing"),
        ("new", "empty"),
        ("quiet", "unproven"),
    ]
    assert (rows[0]["score"], rows[0]["baseline"], rows[0]["champion"]) == (0.46, 0.76, "2")


# Properties

unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # machines may be busy
VERDICTS = st.sampled_from(["pass", "alert", "pending", "not_computable"])
SCORES = st.none() | st.floats(0, 1)
EFFECTS = st.builds(
    FeatureEffect, SCORES, st.sampled_from(["pass", "alert", "not_computable"]), st.sampled_from(["", "far"])
)
FEATURES = st.dictionaries(st.sampled_from(["a", "b", "ü"]), EFFECTS)


@st.composite
def summaries(draw, end=END):
    performance = draw(VERDICTS)
    drift = draw(st.sampled_from(["pass", "alert", "not_computable"]))
    made = record(
        end,
        draw(st.sampled_from(["1", "2"])),
        drift=drift,
        performance=performance,
        score=draw(SCORES),
        fired=draw(st.booleans()),
        impact=draw(st.sampled_from(["shown", "not_shown", "unknown"])),
    )
    return summary(
        made,
        report(performance, draw(SCORES)),
        features=draw(FEATURES),
        findings=draw(st.sampled_from([(), ("a: missing",), ("", " . ")])),
        score_error=draw(SCORES),
        traffic=draw(st.none() | st.just(StepTraffic(0, 0, None, None))),
        runs=AlertRuns(draw(st.none() | st.just(END)), None, draw(st.none() | st.just(END)), performance),
    )


@st.composite
def pasts(draw):
    count = draw(st.integers(0, 4))
    return [draw(summaries(END - (count - 1 - i) * HOUR)) for i in range(count)]


@unhurried
@given(summaries())
def test_a_summary_is_read_back_as_it_was_written(found):
    assert WindowSummary.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    assert 0 <= found.rank < 32


@unhurried
@given(pasts(), st.booleans())
def test_any_past_has_a_view(windows, champion):
    traffic = Traffic("m", 1, VersionRef("2", "b") if champion else None, promoted_at=END - HOUR)
    facts = ModelFacts("m", NOW, traffic, windows[-1] if windows else None)
    view = model_view(facts, ModelPast(windows, len(windows)), LINKS)
    json.dumps(view, allow_nan=False)
    assert view["state"]["sentence"].endswith(".")
    assert [view["state"]["rank"], *(o["rank"] for o in view["also"])] == sorted(
        found["rank"] for found in (view["state"], *view["also"])
    )
    assert {len(column) for column in view["series"].values()} == {len(windows)}
    assert [each.at for each in upcoming(facts) if each.at] == sorted(
        each.at for each in upcoming(facts) if each.at
    )
    assert fleet([facts])[0]["state"] == findings(facts)[0].state


@unhurried
@given(pasts())
def test_bands_cover_the_windows_once_in_order(windows):
    found = bands(windows)
    for window in windows:
        inside = [b for b in found if b.start < window.record.window_end <= b.end]
        assert [band.version for band in inside] == [window.record.version]
    assert all(a.end <= b.start and a.version != b.version for a, b in itertools.pairwise(found))


@unhurried
@given(pasts())
def test_the_heat_map_has_every_effect_once(windows):
    rows = heat_map(windows)["features"]
    found = {(row["name"], at): e for row in rows for at, e in enumerate(row["effects"]) if e is not None}
    expected = {
        (name, at): feature.effect
        for at, window in enumerate(windows)
        for name, feature in window.features.items()
        if feature.effect is not None
    }
    assert found == expected
