"""Versions, aliases and bundles of release 0.1: in MLflow, in the Store, in a gateway's cache."""

import pandas as pd
import pytest

from homeostat.bundle import load_bundle, tree_digest
from homeostat.serving.sync.bundle_cache import BundleCache
from homeostat.storage.bundles import bundle_folder, load_reference, load_version
from homeostat.storage.version_info import load_version_info
from upgrade.installation import MODELS, expected_read
from upgrade.renamed import REFERENCE, VERSION_INFO, assert_same, renamed


@pytest.mark.parametrize("model", MODELS)
def test_aliases_versions_and_tags_are_read(recorded_in_mlflow, model):
    registry, expected = recorded_in_mlflow.ports.registry, expected_read(model, "registry")
    assert registry.aliases(model) == expected["aliases"]
    found = [
        {
            "version": version.version,
            "digest": version.digest,
            "run_id": version.run_id,
            "created_at": version.created_at.isoformat(),
            "tags": dict(version.tags),
        }
        for version in registry.versions(model)
    ]
    assert_same(found, expected["versions"])


@pytest.mark.parametrize("model", MODELS)
def test_every_version_can_be_fetched_from_mlflow(recorded_in_mlflow, tmp_path, model):
    registry = recorded_in_mlflow.ports.registry
    found = {
        version.version: sorted(
            path.name for path in registry.fetch(version, tmp_path / version.version).iterdir()
        )
        for version in registry.versions(model)
    }
    assert found == expected_read(model, "fetched_from_mlflow")


def test_a_step_that_runs_again_finds_its_training_run(copy_in_mlflow):
    run = expected_read("pump", "mlflow", "training", "last_run")
    key = run["tags"]["homeostat.run_key"]
    found = copy_in_mlflow.ports.registry.start_run("pump", key, name=run["name"], tags={})
    assert found == run["run_id"]


@pytest.mark.parametrize("model", MODELS)
def test_every_bundle_loads_and_predicts_the_same(recorded, model):
    config, ports = recorded.configs[model], recorded.ports
    expected = expected_read(model, "bundles")
    rows = pd.DataFrame(expected["rows"])
    assert {key.split("/")[2] for key in ports.store.list(f"bundles/{model}")} == set(expected["bundles"])
    for digest, then in expected["bundles"].items():
        bundle = load_version(ports, config, digest)
        predictions = bundle.predictor.predict(rows)
        confidence = predictions.confidence
        numeric = config.task == "regression"
        texts = [float(text) if numeric else text for text in then["predictions"]]
        assert_same(predictions.prediction.tolist() if numeric else as_text(predictions), texts, digest)
        assert_same(None if confidence is None else confidence.tolist(), then["confidence"], digest)
        assert sorted(bundle.manifest) == then["manifest_keys"]
        assert bundle.manifest["trained_until"] == then["trained_until"]
        with bundle_folder(ports, model, digest) as folder:
            assert tree_digest(folder) == then["tree_digest"] == digest


@pytest.mark.parametrize("model", MODELS)
def test_references_and_facts_of_every_bundle_are_read(recorded, model):
    for digest, then in expected_read(model, "bundles", "bundles").items():
        reference = load_reference(recorded.ports, model, digest)
        season, calibration = reference.season, reference.calibration
        found = {
            "digest": reference.digest,
            "edges": reference.edges.digest,
            "features": sorted(reference.edges.features),
            "season": season.kind if season else None,
            "calibration": calibration.rows if calibration else None,
        }
        assert_same(found, renamed(then["reference"], REFERENCE), digest)
        info = load_version_info(recorded.ports.store, model, digest)
        assert_same(info, renamed(then["facts"], VERSION_INFO), digest)


@pytest.mark.parametrize("model", MODELS)
def test_a_gateway_without_ledger_store_and_mlflow_serves_from_its_cache(recorded, model):
    expected = expected_read("gateway")
    cache = recorded.state / "cache"
    loader = BundleCache(cache, recorded.ports.registry, (), load_bundle, store=None)
    traffic = loader.load_routing(model)
    assert_same(traffic.to_json(), expected["routing"][model])
    assert expected["same_as_the_ledger"][model]
    assert traffic == recorded.ports.ledger.read(model)
    named = {traffic.champion, traffic.previous, traffic.active.candidate if traffic.active else None} - {
        None
    }
    found = {
        ref.version: loader.load(recorded.configs[model], ref, fetch=False).scorer.version for ref in named
    }
    assert found == expected["loads_from_cache"][model]
    assert sorted(path.name for path in (cache / "bundles").iterdir()) == expected["cached"]


def as_text(predictions):
    """Return predicted classes in the form of the record."""
    return [str(value) for value in predictions.prediction.tolist()]
