"""The monitoring history of release 0.1, in MLflow and in the Store, and what the trigger makes of it."""

import json
from dataclasses import replace

import pytest

from homeostat.adapters import LedgerSnapshot, MemoryTriggerQueue, open_store_history
from homeostat.core.trigger import WindowRecord, decide_trigger
from homeostat.monitoring.context import min_retrain_interval
from homeostat.monitoring.send_triggers import send_triggers
from homeostat.storage.trigger_outbox import unsent_triggers
from upgrade.installation import HOUR, MIDNIGHT, MODELS, expected_next, expected_read
from upgrade.renamed import REQUEST, WINDOW_RECORD, assert_same, numbers, renamed, without


def expected_records(model):
    return renamed(expected_read(model, "history", "mlflow"), WINDOW_RECORD)


@pytest.mark.parametrize("model", MODELS)
def test_the_records_in_mlflow_are_read_under_their_new_names(recorded_in_mlflow, model):
    records = recorded_in_mlflow.ports.history.windows(model)
    assert_same([record.to_json() for record in records], expected_records(model))


@pytest.mark.parametrize("model", MODELS)
def test_the_records_in_the_store_are_read_under_their_new_names(recorded, model):
    history, found = open_store_history(recorded.ports.store), []
    for entry in history.entries(model):
        metrics, artifacts = history.read(entry)
        found.append(
            {
                "key": entry.key,
                "recorded_at": entry.recorded_at.isoformat(),
                "record": entry.record.to_json(),
                "metrics": sorted(metrics),
                "artifacts": sorted(artifacts),
            }
        )
    expected = [
        entry | {"record": renamed(entry["record"], WINDOW_RECORD)}
        for entry in expected_read(model, "history", "store")
    ]
    assert_same(found, expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_record_of_release_0_1_and_its_copy_of_today_are_equal(model):
    for raw in expected_read(model, "history", "mlflow"):
        record = WindowRecord.from_json(raw)
        assert WindowRecord.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize("model", MODELS)
def test_the_trigger_decides_the_same_about_every_window(recorded, model):
    config = recorded.configs[model]
    records = [WindowRecord.from_json(raw) for raw in expected_read(model, "history", "mlflow")]
    expected = renamed(expected_read(model, "trigger", "decisions"), WINDOW_RECORD)
    assert len(expected) == len(records) > 0
    for n, (record, then) in enumerate(zip(records, expected, strict=True)):
        interval = min_retrain_interval(config)
        decision = decide_trigger(records[:n], record, config.trigger, min_retrain_interval=interval)
        now = {"window_end": record.window_end.isoformat(), **decision.to_json()}
        assert_same(without(now), without(then), f"window {n}")
        assert set(numbers(then["sentence"])) <= set(numbers(decision.sentence))


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
