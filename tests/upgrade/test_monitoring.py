"""What checks of release 0.1 stored besides the history: counts, reports, comparisons; and the next checks."""

import hashlib
import json
from dataclasses import asdict

import pandas as pd
import pytest

from homeostat.adapters import open_store_history
from homeostat.core.drift import DriftReport
from homeostat.core.performance import PerformanceReport
from homeostat.core.profile import CalibrationCounts, Profile
from homeostat.core.profile.histogram import array_length
from homeostat.monitoring.check_report import drift_figure
from homeostat.monitoring.context import check_context
from homeostat.monitoring.detector_sync import sync_detector
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.version_comparison import compare_versions
from homeostat.monitoring.window import WindowCounts, season_of, window_start
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.storage.champion_history import champions
from homeostat.storage.model_state import load_published_state
from homeostat.storage.rolling_counts import CountStore
from homeostat.storage.sync_cursor import load_cursor
from homeostat.storage.version_info import load_version_info
from upgrade.installation import HOUR, MIDNIGHT, MODELS, expected_next, expected_read, recover_journal
from upgrade.renamed import SYNC_CURSOR, SYNC_RESULT, WINDOW_RECORD, assert_same, renamed, without

#: The end of each model's newest window.
LAST_WINDOW = {"pump": MIDNIGHT + 19 * HOUR, "tide": MIDNIGHT + 4 * HOUR, "well": MIDNIGHT + 11 * HOUR}


def context_of(installation, model):
    champion = installation.ports.ledger.read(model).champion
    return check_context(installation.configs[model], installation.ports, champion)


@pytest.mark.parametrize("model", MODELS)
def test_the_champions_are_read_in_the_same_order(recorded, model):
    found = [asdict(ref) for ref in champions(recorded.ports.ledger, model)]
    assert_same(found, expected_read(model, "kept", "champions"))


@pytest.mark.parametrize("model", MODELS)
def test_counts_of_steps_and_their_sums_are_read(recorded, model):
    context, store = context_of(recorded, model), recorded.ports.store
    edges, season = context.reference.edges, season_of(context)
    assert edges.digest == expected_read(model, "kept", "reference_frames")
    slots = 0 if season is None else len(season.rows)
    counts = CountStore(store, edges.digest, 2 * (array_length(edges) + slots) + 1)
    steps, sums = {}, {}
    for key in store.list(f"profiles/{model}/{edges.digest[:16]}"):
        if key.endswith(".step"):
            step = counts.step(key)
            served = Profile.from_array(step.counts[: array_length(edges)], edges)
            digest, findings = counts_digest(step.counts), len(step.notes.findings)
            steps[key] = {
                "counts": digest,
                "mark": step.checksum,
                "rows": served.rows,
                "findings": findings,
            }
        else:
            total = counts.sum(key)
            sums[key] = {"counts": counts_digest(total.counts), "steps": sorted(total.steps)}
    assert_same(steps, expected_read(model, "kept", "steps"))
    assert_same(sums, expected_read(model, "kept", "sums"))


def counts_digest(counts):
    return hashlib.sha256(counts.astype("<i8").tobytes()).hexdigest()[:16]


@pytest.mark.parametrize("model", MODELS)
def test_no_step_is_counted_again_for_the_last_window(copy, model):
    context, store, end = context_of(copy, model), copy.ports.store, LAST_WINDOW[model]
    before = store.list(f"profiles/{model}")
    info = load_version_info(store, model, context.champion.digest)
    window = WindowCounts(context, window_start(context.config, info, end), end)
    assert window.rows.rows > 0
    assert store.list(f"profiles/{model}") == before


@pytest.mark.parametrize("model", MODELS)
def test_labelled_predictions_by_confidence_are_read(recorded, model):
    context, store = context_of(recorded, model), recorded.ports.store
    edges, found = context.reference.edges.features.get("confidence"), {}
    for key in store.list(f"outcomes/{model}/{context.champion.digest[:16]}"):
        counts = CalibrationCounts.from_body(json.loads(store.get(key)), edges)
        found[key] = {"rows": counts.rows, "right": counts.right.binned, "wrong": counts.wrong.binned}
    assert_same(found, expected_read(model, "kept", "outcomes"))


@pytest.mark.parametrize("model", MODELS)
def test_versions_compare_as_they_did_at_the_last_window(recorded, model):
    end = max(map(pd.Timestamp, (raw["window_end"] for raw in expected_read(model, "history", "mlflow"))))
    found = compare_versions(context_of(recorded, model), pd.DataFrame(), end.to_pydatetime())
    expected = expected_read(model, "kept", "standing_at_the_last_window")
    assert_same(asdict(found), renamed(expected, WINDOW_RECORD))


@pytest.mark.parametrize("model", MODELS)
def test_drift_reports_are_read(recorded, model):
    store, found = recorded.ports.store, {}
    for key in store.list(f"reports/{model}"):
        report = DriftReport.from_json(json.loads(store.get(key)))
        found[key] = {
            "verdict": report.verdict,
            "rows": report.rows,
            "drifted": [feature.name for feature in report.features if feature.verdict == "alert"],
            "schema": [[finding.column, finding.kind] for finding in report.schema],
        }
    assert_same(found, expected_read(model, "kept", "reports"))


def test_the_reports_of_the_lambda_function_are_read_whole(recorded):
    history = open_store_history(recorded.ports.store)
    for entry in history.entries("well"):
        raw = json.loads(history.read(entry)[1]["report.json"])
        performance, drift = (
            PerformanceReport.from_json(raw["performance"]),
            DriftReport.from_json(raw["drift"]),
        )
        assert_same(performance.to_json()["below_best"], raw["performance"]["short"])
        assert_same(performance.to_json()["degraded"], raw["performance"]["hurt"])
        assert_same(drift.to_json(), raw["drift"])


def test_the_figure_of_drift_over_time_shows_recorded_reports(recorded):
    figure = drift_figure(recorded.configs["pump"], recorded.ports.store, LAST_WINDOW["pump"])
    assert figure.startswith(b"\x89PNG")


def test_the_published_state_is_read(recorded):
    found, expected = load_published_state(recorded.ports.store, "well"), expected_read("published_well")
    assert found.at.isoformat() == expected["at"]
    assert_same(found.traffic.to_json(), expected["traffic"])
    assert_same([[e.revision, e.kind, e.reason] for e in found.events], expected["champions"])
    assert (found.holder, found.until.isoformat()) == (expected["holder"], expected["until"])
    assert expected["same_config_as_model_yaml"]
    assert found.config.model_dump() == recorded.configs["well"].model_dump()


@pytest.mark.parametrize("model", MODELS)
def test_the_cursor_of_the_detector_sync_is_read(recorded, model):
    cursor, expected = load_cursor(recorded.ports.store, model), expected_read(model, "kept", "collected")
    found = cursor and {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in asdict(cursor).items()
    }
    assert_same(found, expected and renamed(expected, SYNC_CURSOR))


def test_the_next_check_counts_only_the_new_hour(copy_in_mlflow):
    copy, config, end = copy_in_mlflow, copy_in_mlflow.configs["pump"], MIDNIGHT + 20 * HOUR
    store, expected = copy.ports.store, expected_next("pump_is_checked")
    recover_journal(copy)
    copy.clock.set(end)
    assert sync_aliases(config, copy.ports) == expected["mirror"] == {}
    before = set(store.list("profiles/pump"))
    again = check_drift(config, copy.ports, end - HOUR)
    assert sorted(set(store.list("profiles/pump")) - before) == expected["steps_counted_anew_for_19"] == []
    next_one = check_drift(config, copy.ports, end)
    assert sorted(set(store.list("profiles/pump")) - before) == expected["steps_counted_anew_for_20"]
    assert_same(shown(again), shown(renamed(expected["again_19"], WINDOW_RECORD)))
    assert_same(shown(next_one), shown(renamed(expected["check_20"], WINDOW_RECORD)))
    record = copy.ports.history.windows("pump")[-1]
    assert_same(record.to_json(), renamed(expected["record"], WINDOW_RECORD))
    assert copy.notices() == expected["notices"] == []


def shown(result):
    return without(result, {"sentence", "url"})


def test_the_detector_sync_copies_the_checks_that_it_had_not_copied(copy_in_mlflow):
    copy = copy_in_mlflow
    copy.clock.set(MIDNIGHT + 13 * HOUR)
    result = sync_detector(copy.configs["well"], copy.ports, open_store_history(copy.ports.store))
    expected = expected_next("well_is_collected")
    assert_same(shown(result), shown(renamed(expected["answer"], SYNC_RESULT)))
    assert_same(copy.notices(), without(expected["notices"]))
    windows = copy.ports.history.windows("well")
    found = [[record.window_end.isoformat(), record.fired, record.reason] for record in windows]
    assert_same(found, expected["windows"])
    again = sync_detector(copy.configs["well"], copy.ports, open_store_history(copy.ports.store))
    assert (again["synced"], again["notices"]) == (0, 0)
