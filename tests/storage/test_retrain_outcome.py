"""How a retrain ended, stored beside its steps, and copied to its trigger and to MLflow."""

import json

import pytest

from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, find_outcome, record_outcome
from homeostat.storage.retrain_request import RetrainRequest, save_request
from sample_model import T0

TRIGGER = f"sample/{T0.isoformat()}"


@pytest.fixture
def run_id(ports):
    save_request(ports.store, "sample", RetrainRequest("k", TRIGGER))
    return ports.registry.start_run("sample", "k", name="n", tags={})


def test_an_outcome_is_stored_once_with_what_it_belongs_to(ports, run_id):
    assert find_outcome(ports.store, "sample", "k") is None
    given = Outcome(RetrainOutcome.REFUSED, "shadow", "refused in shadow", version="2", inconclusive=True)
    stored = record_outcome(ports, "sample", "k", given, run_id=run_id)
    assert stored == find_outcome(ports.store, "sample", "k")
    assert (stored.trigger_id, stored.run_key, stored.at) == (TRIGGER, "k", ports.clock.now().isoformat())
    raw = json.loads(ports.store.get("retrain/sample/k/outcome.json"))
    assert (raw["outcome"], raw["stage"], raw["sentence"]) == ("refused", "shadow", "refused in shadow")
    (copy,) = [key for key in ports.store.list("triggers/sample") if key.endswith(".outcome.json")]
    assert json.loads(ports.store.get(copy)) == raw
    run = ports.registry.runs[run_id]
    assert (run.description, run.tags["homeostat.outcome"]) == ("refused in shadow", "refused")


def test_a_later_end_of_the_same_retrain_replaces_the_first(ports, run_id):
    for word in (RetrainOutcome.FAILED, RetrainOutcome.PROMOTED):
        record_outcome(ports, "sample", "k", Outcome(word, "x", str(word)), run_id=run_id)
    assert find_outcome(ports.store, "sample", "k").outcome is RetrainOutcome.PROMOTED
    assert ports.registry.runs[run_id].description == "promoted"


def test_keys_that_are_missing_or_not_known_do_not_matter():
    raw = {"outcome": "failed", "stage": "train", "sentence": "s"}
    assert Outcome.from_json(raw | {"later": 1}) == Outcome(RetrainOutcome.FAILED, "train", "s")


def test_no_secret_is_stored(ports, run_id, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_CONTROL_TOKEN", "a-very-secret-token")
    outcome = Outcome(RetrainOutcome.FAILED, "train", "cannot use a-very-secret-token")
    assert "a-very-secret" not in record_outcome(ports, "sample", "k", outcome, run_id=run_id).sentence
    assert "a-very-secret" not in ports.registry.runs[run_id].description
