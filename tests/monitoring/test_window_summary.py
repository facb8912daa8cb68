"""What a check, a retrain and a registration leave for the pages of a model's health."""

import json
import math
from datetime import timedelta

import pandas as pd
import pytest

from homeostat.cli.commands.status_view import next_checks
from homeostat.config.check_times import spread_delay
from homeostat.core.model_health import RANGES, WindowSummary
from homeostat.monitoring.detector_records import copy_entries
from homeostat.monitoring.drift_check import check_drift
from homeostat.monitoring.model_health import read_fleet, read_model
from homeostat.monitoring.step_latency import count_latency, quantile
from homeostat.ports import RecordKind
from homeostat.storage.check_records import find_check
from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, record_outcome
from homeostat.storage.version_info import load_version_info
from sample_model import T0, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def summaries(ports):
    found, _ = ports.ledger.records("sample", RecordKind.WINDOW, None, 100)
    return [WindowSummary.from_json(record.body) for record in found]


def test_a_check_leaves_what_it_found_and_the_settings_that_decided(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 8 * HOUR, shift=1.5))
    for hours in (4, 5, 6):
        check_drift(config, ports, T0 + hours * HOUR)
    first, second, third = summaries(ports)
    records = ports.history.windows("sample")
    assert [found.record for found in (first, second, third)] == records
    stored = find_check(ports.store, "sample", T0 + 6 * HOUR)
    assert third.performance == stored.performance
    assert third.sentence == stored.trigger.sentence
    assert {name: f.verdict for name, f in third.features.items()} == {
        verdict.name: verdict.verdict for verdict in stored.drift.features
    }
    assert third.settings["monitor.every"] == "1h"
    assert third.settings["trigger.decay"] == f"{config.trigger.decay:g}"
    assert third.runs.drift_since == T0 + 4 * HOUR
    assert third.url
    assert (third.every, third.checked_at) == (HOUR, ports.clock.now())


def test_a_check_says_when_the_next_one_is(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR))
    delay = spread_delay("sample", HOUR)
    assert delay > timedelta(0), "otherwise this test shows nothing"
    check_drift(config, ports, T0 + 4 * HOUR)
    assert summaries(ports)[-1].next_check == T0 + 5 * HOUR + delay
    assert next_checks(ports.ledger.fleet(T0), ["sample", "other"]) == {"sample": T0 + 5 * HOUR + delay}
    at_once = config.model_copy(update={"monitor": config.monitor.model_copy(update={"delay": 0 * HOUR})})
    check_drift(at_once, ports, T0 + 4 * HOUR)
    assert summaries(ports)[-1].next_check == T0 + 5 * HOUR
    check_drift(config, ports, T0 + 4 * HOUR, scheduled=False)
    assert summaries(ports)[-1].next_check is None
    assert next_checks(ports.ledger.fleet(T0), ["sample"]) == {}


def test_the_interval_of_the_score_comes_from_the_variance_of_one_row(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, seed=1))
    check_drift(config, ports, T0 + 4 * HOUR)
    (found,) = summaries(ports)
    info = load_version_info(ports.store, "sample", ports.ledger.read("sample").champion.digest)
    assert found.performance.rows > 0
    assert found.score_error == pytest.approx(math.sqrt(info["variance"] / found.performance.rows))


def test_a_second_check_of_a_window_replaces_its_record(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, seed=1))
    for _ in range(2):
        check_drift(config, ports, T0 + 4 * HOUR)
    assert len(summaries(ports)) == 1


def test_traffic_is_that_of_the_newest_step(config, ports, champion):
    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, per_hour=40, seed=1))
    check_drift(config, ports, T0 + 4 * HOUR)
    check_drift(config, ports, T0 + 5 * HOUR)
    served, silent = summaries(ports)
    assert (served.traffic.rows, silent.traffic.rows) == (40, 0)
    assert silent.traffic.p99_ms is None


def test_a_request_of_several_rows_counts_once_in_the_latency():
    rows = pd.DataFrame({"_request_id": ["a", "a", "b", "c"], "_latency_ms": [5.0, 5.0, 50.0, None]})
    counts = count_latency(rows)
    assert sum(counts) == 2
    assert quantile(counts, 0.5) == pytest.approx(5.0, rel=0.1)
    assert quantile(counts, 0.99) == pytest.approx(50.0, rel=0.1)


def test_a_registered_version_and_the_end_of_a_retrain_are_there(config, ports, champion):
    failed = Outcome(RetrainOutcome.FAILED, "train", "a library is missing")
    ports.clock.advance(HOUR)
    record_outcome(ports, "sample", "r2", failed)
    view = read_model(ports.ledger, "sample", ports.clock.now())
    (version,) = view["versions"]
    info = load_version_info(ports.store, "sample", ports.ledger.read("sample").champion.digest)
    assert (version["version"], version["metrics"]) == ("1", info["metrics"])
    assert version["holdout_rows"] == info["holdout_rows"]
    assert (view["marks"][-1]["kind"], view["marks"][-1]["reason"]) == ("failed", "A library is missing.")
    assert view["state"]["state"] == "stuck"
    json.dumps(view, allow_nan=False)


def test_a_superseded_retrain_does_not_hide_the_one_that_failed(config, ports, champion):
    record_outcome(ports, "sample", "r2", Outcome(RetrainOutcome.FAILED, "train", "a library is missing"))
    ports.clock.advance(HOUR)
    record_outcome(ports, "sample", "r3", Outcome(RetrainOutcome.SUPERSEDED, "lease", "another one runs"))
    rows = read_fleet(ports.ledger, [], ports.clock.now())["models"]
    assert [(row["model"], row["state"]) for row in rows] == [("sample", "stuck")]


def test_a_window_of_the_lambda_function_is_summarised_when_it_is_copied(config, ports, champion):
    from homeostat.adapters import open_store_history

    serve(config, ports, rows_between(T0, T0 + 4 * HOUR, seed=1))
    check_drift(config, ports, T0 + 4 * HOUR)
    (checked,) = summaries(ports)
    detector = open_store_history(ports.store)
    made = ports.history.written["sample", T0 + 4 * HOUR]
    detector.record("sample", checked.record, metrics=made.metrics, artifacts=made.artifacts)
    copy_entries(config, ports, detector, detector.entries("sample"))
    (copied,) = summaries(ports)
    same = ("record", "sentence", "performance", "features", "runs", "settings", "score_error", "traffic")
    assert [getattr(copied, name) for name in same] == [getattr(checked, name) for name in same]


@pytest.mark.parametrize("name", RANGES)
def test_every_range_can_be_read(config, ports, champion, name):
    assert read_model(ports.ledger, "sample", ports.clock.now(), range_name=name)["range"] == name
