"""The retrains of release 0.1: requests, results of their steps, and one that is resumed in the middle."""

import json
from dataclasses import asdict

import pytest

from homeostat.bundle.latency import Latency, LatencyComparison
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.register import register
from homeostat.retraining.remote_training import find_failure
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.lifecycle import begin_rollout
from homeostat.storage.retrain_request import load_request
from homeostat.storage.snapshots import read_snapshot
from homeostat.storage.step_results import find_result
from upgrade.installation import HOUR, MIDNIGHT, MODELS, expected_next, expected_read
from upgrade.renamed import (
    NEW_IN_STATUS,
    NEW_IN_STEP_RESULTS,
    NEW_KEYS,
    REQUEST,
    STEP_RESULT,
    assert_same,
    renamed,
    without,
)


def retrain_of(store, model, key):
    """Return what the Store holds of a retrain, in the form of the record."""
    names = [each.split("/")[3].removesuffix(".json") for each in store.list(f"retrain/{model}/{key}")]
    steps = {name: find_result(store, model, key, name) for name in names if name != "request"}
    failure, snapshot = find_failure(store, model, key), None
    if "assemble" in steps:
        rows, holdout, weights = read_snapshot(store, steps["assemble"]["snapshot"])
        snapshot = {"train": len(rows), "holdout": len(holdout), "weighed": weights is not None}
    passed = steps.get("gate")
    return {
        "request": without(asdict(load_request(store, model, key)), {"airflow_url", "airflow_page"}),
        "steps": sorted(steps),
        "snapshot": snapshot,
        "gate": passed and {name: passed[name] for name in ("passed", "forced", "proceeds")},
        "version": steps["register"]["version"] if "register" in steps else None,
        "settled": steps["settle"]["phase"] if "settle" in steps else None,
        "failure": failure and {"sentence": failure.sentence, "notices": len(failure.notices)},
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_request_and_every_result_is_read(recorded, model):
    store, expected = recorded.ports.store, expected_read(model, "retrains")
    keys = sorted({key.split("/")[2] for key in store.list(f"retrain/{model}")})
    found = {key: retrain_of(store, model, key) for key in keys}
    assert_same(found, renamed(expected, REQUEST | STEP_RESULT))


def test_a_retrain_between_train_and_validate_is_resumed(copy_in_mlflow, monkeypatch):
    as_recorded = LatencyComparison(Latency(1.5, 1.5, 1.5), Latency(1.5, 1.5, 1.5))
    monkeypatch.setattr("homeostat.bundle.latency.compare_latency", lambda *_: as_recorded)
    copy, config, ports = copy_in_mlflow, copy_in_mlflow.configs["well"], copy_in_mlflow.ports
    copy.clock.set(MIDNIGHT + 13 * HOUR)
    key = ports.ledger.lease_holder("well", copy.clock.now())
    results = {"assemble": assemble(config, load_request(ports.store, "well", key), ports)}
    for name, step in (
        ("train", train),
        ("validate", validate),
        ("gate", gate),
        ("register", register),
        ("shadow", begin_rollout),
    ):
        results[name] = step(config, key, ports)
    expected = expected_next("well_goes_on")
    expected["validate"]["champion"]["p99_latency_ms"] = 1.5  # release 0.1 did not time the champion
    assert key == expected["run_key"]
    for name, result in results.items():
        assert result["sentence"]
        assert_same(plain(result), plain(renamed(expected[name], STEP_RESULT)), name)
    new = frozenset(NEW_KEYS)
    assert_same(without(ports.ledger.read("well").to_json(), new), expected["traffic"])
    assert_same(ports.registry.aliases("well"), expected["aliases"])


def plain(result):
    """Return a step's result as JSON, without what is written for people."""
    found = without(json.loads(json.dumps(result)), {"sentence", "url"} | NEW_IN_STEP_RESULTS | NEW_IN_STATUS)
    for check in found.get("checks", ()):
        assert check.pop("reason")
    return found
