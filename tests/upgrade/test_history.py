"""The monitoring history of release 0.1, in MLflow and in the Store, and what the trigger makes of it."""

import json

import pytest

from homeostat.adapters import open_store_history
from homeostat.core.trigger import WindowRecord, decide_trigger
from homeostat.monitoring.context import min_retrain_interval
from upgrade.installation import MODELS, expected_read
from upgrade.renamed import WINDOW_RECORD, assert_same, numbers, renamed, without


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
