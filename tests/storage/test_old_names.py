"""What release 0.1 wrote into the Store is read under today's names."""

import json
from datetime import UTC, datetime

import pytest

from homeostat.adapters.store_memory import MemoryStore
from homeostat.config.model import Training
from homeostat.storage.retrain_request import RetrainRequest, load_request, save_request
from homeostat.storage.step_results import find_result, load_result, save_result
from homeostat.storage.sync_cursor import SyncCursor, load_cursor, save_cursor
from homeostat.storage.version_info import load_version_info, save_version_info

T0 = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def store():
    return MemoryStore()


def old(store, key, raw):
    store.put(key, json.dumps(raw).encode(), overwrite=True)


def test_the_request_of_a_reinstatement(store):
    raw = {"run_key": "k", "trigger_id": "m/1", "reason": "former_version_fits", "recall": "3"}
    old(store, "retrain/m/k/request.json", raw)
    request = load_request(store, "m", "k")
    assert request.reinstate == "3"
    save_request(store, "m", request)
    assert load_request(store, "m", "k") == request


def test_an_asset_event_that_was_sent_before_the_upgrade():
    event = {
        "trigger_id": "m/1",
        "reason": "former_version_fits",
        "window_end": T0.isoformat(),
        "recall": "3",
    }
    assert RetrainRequest.of(run_key="k", dag_run="r", params={}, event=event).reinstate == "3"


def test_the_results_of_the_steps(store):
    old(store, "retrain/m/k/train.json", {"digest": "d", "judge": "e", "parity_forced": "forced"})
    old(store, "retrain/m/k/validate.json", {"parity": ["python: 3.11 became 3.12"]})
    old(store, "retrain/m/k/gate.json", {"passed": True, "goes_on": True})
    assert load_result(store, "m", "k", "train") == {
        "digest": "d",
        "holdout_version": "e",
        "environment_forced": "forced",
    }
    assert find_result(store, "m", "k", "validate") == {
        "environment_differences": ["python: 3.11 became 3.12"]
    }
    assert load_result(store, "m", "k", "gate")["proceeds"]


def test_what_is_written_today_is_read_unchanged(store):
    result = {"holdout_version": "e", "environment_differences": [], "proceeds": False, "sentence": "s"}
    save_result(store, "m", "k", "gate", result)
    assert load_result(store, "m", "k", "gate") == result
    info = {"version": "2", "holdout_version": "e"}
    save_version_info(store, "m", "d", info)
    assert load_version_info(store, "m", "d") == info


def test_version_info(store):
    old(store, "versions/m/d.json", {"version": "2", "judge": "e", "trained_until": T0.isoformat()})
    assert load_version_info(store, "m", "d")["holdout_version"] == "e"


def test_the_cursor_of_the_detector_sync(store):
    raw = {"since": T0.isoformat(), "whole_at": T0.isoformat(), "newest": None, "silent": True}
    old(store, "collected/m.json", raw)
    cursor = SyncCursor(since=T0, full_sync_at=T0, newest_window=None, silence_notified=True)
    assert load_cursor(store, "m") == cursor
    save_cursor(store, "m", cursor)
    assert load_cursor(store, "m") == cursor


@pytest.mark.parametrize(("written", "read"), [("told", "warn"), ("required", "enforce"), ("warn", "warn")])
def test_training_parity_in_model_yaml(written, read):
    assert Training.model_validate({"parity": written}).parity == read
