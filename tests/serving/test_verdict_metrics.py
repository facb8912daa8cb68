"""What drift checks and retrains found, as series of /metrics."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from homeostat.adapters import fake_ports
from homeostat.config.errors import Unavailable
from homeostat.serving import verdict_metrics
from homeostat.serving.verdict_metrics import VerdictMetrics
from homeostat.storage.latest_check import (
    MAX_FEATURES,
    FeatureDrift,
    LatestCheck,
    SliceCheck,
    latest_key,
    load_latest_check,
    save_latest_check,
    save_latest_outcome,
    shown_features,
)
from serving.gateway_harness import model_config, serving

AT = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CHECK = LatestCheck(
    window_end=AT,
    checked_at=AT + timedelta(minutes=3),
    version="7",
    rows=500,
    drift="alert",
    drifted_share=0.5,
    performance="pending",
    metric="accuracy",
    score=0.46,
    baseline=0.76,
    reason="sustained_drift",
    fired=True,
    consecutive=3,
    newest_label=AT - HOUR,
    input_features=4,
    drifted_features=2,
    unknown_features=1,
    features=(FeatureDrift("a", "input", 0.4, True), FeatureDrift("prediction", "output", None, None)),
)


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(found, name, **labels):
    return found.get((f"homeostat_{name}", *sorted({"model": "pump", **labels}.items())))


@pytest.fixture
def ports():
    return fake_ports(start=AT + HOUR)


@pytest.fixture
def metrics(ports, monkeypatch):
    monkeypatch.setattr(verdict_metrics, "_FRESH", 0.0)
    return VerdictMetrics({"pump": model_config()}, ports)


def test_a_check_is_served_with_its_values_and_what_is_not_known_is_left_out(ports, metrics):
    save_latest_check(ports.store, "pump", CHECK)
    found = samples(metrics.render().decode())
    assert of(found, "check_timestamp_seconds") == (AT + timedelta(minutes=3)).timestamp()
    assert of(found, "check_window_end_timestamp_seconds") == AT.timestamp()
    assert of(found, "check_interval_seconds") == 3600
    assert of(found, "label_timestamp_seconds") == (AT - HOUR).timestamp()
    assert of(found, "label_delay_seconds") == 3600
    assert of(found, "score", version="7", metric="accuracy") == 0.46
    assert of(found, "score_baseline", version="7", metric="accuracy") == 0.76
    assert of(found, "feature_effect", feature="a", role="input") == 0.4
    assert of(found, "feature_drifted", feature="a", role="input") == 1
    assert of(found, "trigger_reason", reason="sustained_drift") == 1
    states = {state: of(found, "features", state=state) for state in ("drifted", "stable", "not_computable")}
    assert states == {"drifted": 2, "stable": 1, "not_computable": 1}
    verdicts = {
        (kind, verdict): of(found, "check_verdict", kind=kind, verdict=verdict)
        for kind in ("drift", "performance")
        for verdict in ("pass", "alert", "pending", "not_computable")
    }
    assert {key for key, value in verdicts.items() if value == 1} == {
        ("drift", "alert"),
        ("performance", "pending"),
    }
    assert {key for key, value in verdicts.items() if value is None} == {("drift", "pending")}
    assert not [key for key in found if key[0] in ("homeostat_score_decay", "homeostat_unlogged_labels")]
    assert of(found, "feature_effect", feature="prediction", role="output") is None


def test_slices_are_served_and_what_is_not_known_of_them_is_left_out(ports, metrics):
    slices = (
        SliceCheck("region=north", "accuracy", 0.61, 0.8, 0.19, True, 0.25, False),
        SliceCheck("region=south", "accuracy", None, None, None, None, None, None),
    )
    save_latest_check(ports.store, "pump", replace(CHECK, slices=slices))
    assert load_latest_check(ports.store, "pump").slices == slices
    found = samples(metrics.render().decode())
    north = {"slice": "region=north"}
    assert of(found, "slice_score", **north, metric="accuracy") == 0.61
    assert of(found, "slice_score_baseline", **north, metric="accuracy") == 0.8
    assert of(found, "slice_score_decay", **north, metric="accuracy") == 0.19
    assert (of(found, "slice_decayed", **north), of(found, "slice_drifted", **north)) == (1, 0)
    assert of(found, "slice_drifted_share", **north) == 0.25
    assert not [key for key in found if ("slice", "region=south") in key]
    save_latest_check(ports.store, "pump", replace(CHECK, slices=slices[1:]))
    assert not [key for key in samples(metrics.render().decode()) if "slice" in dict(key[1:])]


def test_a_check_of_an_earlier_release_has_no_slices(ports):
    raw = CHECK.to_json()
    del raw["slices"]
    ports.store.put(latest_key("pump"), json.dumps(raw).encode())
    assert load_latest_check(ports.store, "pump") == CHECK


def test_a_check_without_a_champion_and_no_check_at_all(ports, metrics):
    before = samples(metrics.render().decode())
    assert of(before, "check_timestamp_seconds") is None
    assert of(before, "check_interval_seconds") == 3600
    save_latest_check(ports.store, "pump", LatestCheck(AT, AT))
    after = samples(metrics.render().decode())
    assert of(after, "check_verdict", kind="drift", verdict="not_computable") == 1
    assert of(after, "check_timestamp_seconds") == AT.timestamp()


def test_an_outage_keeps_what_was_read_and_says_since_when(ports, metrics, monkeypatch):
    save_latest_check(ports.store, "pump", CHECK)
    first = samples(metrics.render().decode())
    read_at = first[("homeostat_verdicts_read_timestamp_seconds",)]
    assert read_at == (AT + HOUR).timestamp()

    def away(_):
        raise Unavailable("the store does not answer")

    ports.clock.advance(HOUR)
    with monkeypatch.context() as patch:
        patch.setattr(ports.store, "get", away)
        assert samples(metrics.render().decode()) == first
    assert (
        samples(metrics.render().decode())[("homeostat_verdicts_read_timestamp_seconds",)] == read_at + 3600
    )


def test_a_store_that_hangs_does_not_hold_up_a_scrape(ports, metrics, monkeypatch):
    save_latest_check(ports.store, "pump", CHECK)
    first = metrics.render()
    release, get = threading.Event(), ports.store.get

    def hangs(key):
        release.wait(60)
        return get(key)

    monkeypatch.setattr(ports.store, "get", hangs)
    monkeypatch.setattr(verdict_metrics, "_PATIENCE", 0.01)
    try:
        assert metrics.render() == metrics.render() == first, "and no second thread waits for it"
        assert [thread.name for thread in threading.enumerate()].count("verdicts") == 1
    finally:
        release.set()


def test_a_damaged_file_hides_only_its_own_model(ports, monkeypatch):
    models = {"pump": model_config(), "fan": model_config("fan")}
    metrics = VerdictMetrics(models, ports)
    ports.store.put(latest_key("fan"), b'{"window_end": 3}')
    save_latest_check(ports.store, "pump", CHECK)
    found = samples(metrics.render().decode())
    assert of(found, "check_rows") == 500
    assert of(found, "check_rows", model="fan") is None
    assert of(found, "check_interval_seconds", model="fan") == 3600


def test_the_last_outcome_is_one_series_and_a_damaged_one_is_none(ports, metrics):
    for outcome, at in (("failed", AT), ("promoted", AT + HOUR)):
        save_latest_outcome(ports.store, "pump", {"outcome": outcome, "stage": "x", "at": at.isoformat()})
    found = samples(metrics.render().decode())
    ends = {key: value for key, value in found.items() if key[0] == "homeostat_retrain_end_timestamp_seconds"}
    assert [(dict(key[1:])["outcome"], value) for key, value in ends.items()] == [
        ("promoted", (AT + HOUR).timestamp())
    ]
    save_latest_outcome(ports.store, "pump", {"outcome": "failed", "at": "yesterday"})
    assert b"homeostat_retrain_end_timestamp_seconds{" not in metrics.render()


def test_an_older_window_never_replaces_a_newer_one_and_the_newest_label_stays(ports):
    save_latest_check(ports.store, "pump", CHECK)
    save_latest_check(ports.store, "pump", replace(CHECK, window_end=AT - HOUR, rows=1))
    assert load_latest_check(ports.store, "pump") == CHECK
    later = replace(CHECK, window_end=AT + HOUR, newest_label=None)
    save_latest_check(ports.store, "pump", later)
    assert load_latest_check(ports.store, "pump") == replace(later, newest_label=AT - HOUR)


@given(st.lists(st.tuples(st.none() | st.floats(0, 1), st.sampled_from([True, False, None])), max_size=200))
def test_at_most_fifty_inputs_are_kept_and_no_drifted_one_for_one_that_is_not(cases):
    features = [FeatureDrift(f"x{n}", "input", *case) for n, case in enumerate(cases)]
    outputs = [FeatureDrift("prediction", "output", 0.1, False)]
    shown = shown_features([*outputs, *features])
    inputs = [each for each in shown if each.role == "input"]
    left_out = set(features) - set(inputs)
    assert len(inputs) == min(len(features), MAX_FEATURES)
    assert shown[len(inputs) :] == tuple(outputs)
    if any(not each.drifted for each in inputs):
        assert not any(each.drifted for each in left_out)


def test_the_gateway_serves_verdicts_without_a_worker_and_for_models_that_it_does_not_serve(setup):
    batch = model_config("batch").model_copy(update={"serve": "none"})
    save_latest_check(setup.ports.store, "pump", CHECK)
    save_latest_check(setup.ports.store, "batch", CHECK)
    with serving(setup, models={"pump": setup.config, "batch": batch}) as client:
        text = client.http.get("/metrics").text
    found = samples(text)
    assert of(found, "check_rows") == of(found, "check_rows", model="batch") == 500
    assert 'homeostat_rollbacks_total{model="pump"} 0.0' in text
    assert "batch" not in client.runtime.states
