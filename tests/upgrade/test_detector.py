"""A model that the Lambda function of release 0.1 checked: what it left, and what the new one does next."""

import json
from dataclasses import asdict, replace

import pytest

from homeostat.adapters import LedgerSnapshot, MemoryTriggerQueue, open_store_history
from homeostat.aws.lambda_handler import check_window
from homeostat.aws.lambda_ports import LambdaResources
from homeostat.core.drift import DriftReport
from homeostat.core.performance import PerformanceReport
from homeostat.monitoring.detector_sync import sync_detector
from homeostat.monitoring.send_triggers import send_triggers
from homeostat.storage.model_state import load_published_state
from homeostat.storage.sync_cursor import load_cursor
from homeostat.storage.trigger_outbox import unsent_triggers
from upgrade.installation import HOUR, MIDNIGHT, MODELS, expected_next, expected_read, recorded_json
from upgrade.renamed import (
    NEW_IN_CHECK_RESULTS,
    NEW_IN_REPORTS,
    PERFORMANCE_REPORT,
    REQUEST,
    SYNC_CURSOR,
    SYNC_RESULT,
    WINDOW_RECORD,
    assert_same,
    renamed,
    without,
)


def test_the_published_state_is_read(recorded):
    found, expected = load_published_state(recorded.ports.store, "well"), expected_read("published_well")
    assert found.at.isoformat() == expected["at"]
    assert_same(found.traffic.to_json(), expected["traffic"])
    assert_same([[e.revision, e.kind, e.reason] for e in found.events], expected["champions"])
    assert (found.holder, found.until.isoformat()) == (expected["holder"], expected["until"])
    assert expected["same_config_as_model_yaml"]
    own, now = found.config.model_dump(), recorded.configs["well"].model_dump()
    # Release 0.1 wrote its default of gate.slices, no feature; without watched slices today's means the same.
    assert (own["gate"].pop("slices"), now["gate"].pop("slices")) == ((), None)
    assert found.config.gate_slices == recorded.configs["well"].gate_slices
    assert own == now


@pytest.mark.parametrize("model", MODELS)
def test_the_cursor_of_the_detector_sync_is_read(recorded, model):
    cursor, expected = load_cursor(recorded.ports.store, model), expected_read(model, "kept", "collected")
    found = cursor and {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in asdict(cursor).items()
    }
    assert_same(found, expected and renamed(expected, SYNC_CURSOR))


def test_the_reports_of_the_lambda_function_are_read_whole(recorded):
    history = open_store_history(recorded.ports.store)
    for entry in history.entries("well"):
        raw = json.loads(history.read(entry)[1]["report.json"])
        performance = PerformanceReport.from_json(raw["performance"]).to_json()
        expected = renamed(raw["performance"], PERFORMANCE_REPORT)
        assert_same(without(performance, NEW_IN_REPORTS), expected)
        assert_same(DriftReport.from_json(raw["drift"]).to_json(), raw["drift"])
        worse = PerformanceReport.from_json(raw["performance"] | {"short": True, "hurt": True})
        assert (worse.below_best, worse.degraded) == (True, True)


@pytest.mark.parametrize("model", MODELS)
def test_the_same_triggers_were_not_sent(recorded, model):
    store = recorded.ports.store
    records = open_store_history(store).windows(model)
    unsent = [record.window_end.isoformat() for record in unsent_triggers(store, model, records)]
    assert unsent == expected_read(model, "kept", "unsent")


def test_the_trigger_that_was_recorded_and_not_sent_is_sent_once(copy):
    copy.clock.set(MIDNIGHT + 13 * HOUR)
    queue, store, config = MemoryTriggerQueue(copy.clock), copy.ports.store, copy.configs["well"]
    ports = replace(copy.ports, ledger=LedgerSnapshot(store), history=open_store_history(store))
    expected = expected_next("wells_trigger_is_sent")
    assert send_triggers(config, ports, queue) == expected["sent"]
    bodies = [json.loads(delivery.body) for delivery in queue.receive()]
    assert_same(bodies, [renamed(json.loads(body), REQUEST) for body in expected["bodies"]])
    assert send_triggers(config, ports, queue) == expected["once_more"] == []


def test_a_window_that_fired_gives_the_same_result_when_checked_again(copy):
    store = copy.ports.store
    queue = MemoryTriggerQueue(copy.clock)
    resources = LambdaResources("homeostat", store, open_store_history(store), queue)
    expected = recorded_json("messages.json")["detector_answers"][1]
    result = check_window({"model": "well", "window_end": expected["window_end"]}, resources)
    texts = {"sentence", "url", "sent"} | NEW_IN_CHECK_RESULTS
    assert_same(without(result, texts), without(renamed(expected, WINDOW_RECORD), texts))


def test_the_detector_sync_copies_the_checks_that_it_had_not_copied(copy_in_mlflow):
    copy = copy_in_mlflow
    copy.clock.set(MIDNIGHT + 13 * HOUR)
    result = sync_detector(copy.configs["well"], copy.ports, open_store_history(copy.ports.store))
    expected = expected_next("well_is_collected")
    assert_same(plain(result), plain(renamed(expected["answer"], SYNC_RESULT)))
    assert_same(copy.notices(), without(expected["notices"]))
    windows = copy.ports.history.windows("well")
    found = [[record.window_end.isoformat(), record.fired, record.reason] for record in windows]
    assert_same(found, expected["windows"])
    again = sync_detector(copy.configs["well"], copy.ports, open_store_history(copy.ports.store))
    assert (again["synced"], again["notices"]) == (0, 0)


def plain(result):
    """Return a result without what is written for people."""
    return without(result, {"sentence", "url"})
