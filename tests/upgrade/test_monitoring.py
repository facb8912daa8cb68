"""What checks of release 0.1 stored besides the history: counts, reports, comparisons. Checks that follow."""

import hashlib
import json
from dataclasses import asdict

import pandas as pd
import pytest

from homeostat.core.drift import DriftReport
from homeostat.core.profile import CalibrationCounts, Profile
from homeostat.core.profile.histogram import array_length
from homeostat.monitoring.check_report import drift_figure
from homeostat.monitoring.context import check_context
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.version_comparison import version_to_reinstate
from homeostat.monitoring.window import WindowCounts, season_of, window_start
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.storage.champion_history import champions
from homeostat.storage.rolling_counts import CountStore
from homeostat.storage.version_info import load_version_info
from upgrade.installation import HOUR, MIDNIGHT, MODELS, expected_next, expected_read, recover_journal
from upgrade.renamed import (
    NEW_IN_CHECK_RESULTS,
    WINDOW_RECORD,
    assert_same,
    renamed,
    without,
)

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
    found = version_to_reinstate(context_of(recorded, model), pd.DataFrame(), end.to_pydatetime(), None)
    expected = expected_read(model, "kept", "standing_at_the_last_window")
    assert found == renamed(expected, WINDOW_RECORD)["reinstate"]


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


def test_the_figure_of_drift_over_time_shows_recorded_reports(recorded):
    figure = drift_figure(recorded.configs["pump"], recorded.ports.store, LAST_WINDOW["pump"])
    assert figure.startswith(b"\x89PNG")


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
    assert record.unlogged_labels == 0
    assert_same(without(record.to_json(), NEW_IN_CHECK_RESULTS), renamed(expected["record"], WINDOW_RECORD))
    assert copy.notices() == expected["notices"] == []


def shown(result):
    return without(result, {"sentence", "url"} | NEW_IN_CHECK_RESULTS)
