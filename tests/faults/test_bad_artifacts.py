"""Bytes that were truncated, overwritten or lost after a promotion: the last good copy serves."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest

from homeostat.adapters import fake_ports
from homeostat.config import load_model
from homeostat.config.errors import NotFound, Untrusted
from homeostat.core.rollout import Phase, VersionRef
from homeostat.storage import bundles as versions
from sample_model import MODEL, PIPELINE, T0, rows_between
from serving.gateway_harness import serving, until

FILES = ("manifest.json", "model.skops", "reference.bin")


def put_in_store(setup, ref):
    for name, data in setup.ports.registry.files[setup.config.name, ref.version].items():
        setup.ports.store.put(f"bundles/{setup.config.name}/{ref.digest}/{name}", data)


def forget_cache(setup):
    shutil.rmtree(setup.settings.cache / "bundles")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_cached_file_is_not_loaded_but_fetched_again(setup, name):
    ref = setup.version()
    setup.begin(ref)
    with serving(setup) as client:
        client.ready()
    path = setup.settings.cache / "bundles" / ref.digest / name
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with serving(setup) as client:
        client.ready()
        assert client.score().json() == {"predictions": [1.0]}
    assert path.read_bytes() == good


def test_an_artifact_overwritten_in_mlflow_after_its_promotion_is_not_what_a_new_gateway_serves(setup):
    ref = setup.version()
    setup.begin(ref)
    put_in_store(setup, ref)
    setup.ports.registry.files["pump", ref.version]["model.skops"] = b"something else"
    with serving(setup) as client:
        client.ready()
        assert client.score().headers["x-homeostat-version"] == ref.version, "the store has the good copy"


def test_bytes_overwritten_everywhere_are_refused_and_the_previous_version_serves(setup):
    setup.begin(setup.version())
    bad = setup.version()
    with serving(setup) as client:
        client.ready()
        assert client.order("models/pump/promote", {"version": bad.version}).status_code == 200
    forget_cache(setup)
    put_in_store(setup, bad)
    files = setup.ports.registry.files["pump", bad.version]
    files["manifest.json"] = files["manifest.json"].replace(b"serial", b"cereal")
    setup.ports.store.put(f"bundles/pump/{bad.digest}/model.skops", b"other", overwrite=True)
    with serving(setup) as client:
        client.ready()
        assert client.score().headers["x-homeostat-version"] == "1"
        until(lambda: client.http.get("/health").json()["status"] == "degraded", "it is reported")
        problems = " ".join(client.http.get("/health").json()["problems"])
        assert "version 1 serves in place of 2, which is not loaded" in problems
        assert "its files have digest" in problems
        assert "Train it again: homeostat retrain pump" in problems


def test_overwriting_any_copy_changes_no_prediction_of_a_running_gateway(setup):
    ref = setup.version()
    setup.begin(ref)
    with serving(setup) as client:
        client.ready()
        put_in_store(setup, ref)
        for name in FILES:
            setup.ports.registry.files["pump", ref.version][name] = b"x"
            setup.ports.store.put(f"bundles/pump/{ref.digest}/{name}", b"x", overwrite=True)
            (setup.settings.cache / "bundles" / ref.digest / name).write_bytes(b"x")
        assert client.score().json() == {"predictions": [1.0]}


def test_a_deleted_champion_serves_from_the_cache_and_after_a_restart(setup):
    setup.begin(setup.version())
    setup.ports.registry.set_alias("pump", "champion", "1")
    with serving(setup) as client:
        client.ready()
        setup.ports.registry.delete("pump", "1")
        assert client.score().status_code == 200
    with serving(setup) as client:
        client.ready()
        assert client.score().headers["x-homeostat-version"] == "1"


def test_a_candidate_deleted_before_it_was_fetched_is_rolled_back(setup):
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        ref = setup.version()
        setup.ports.registry.delete("pump", ref.version)
        setup.begin(ref, skip_shadow=True)
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back")
        assert "could not be loaded" in setup.traffic().rollout.reason
        assert client.score().headers["x-homeostat-version"] == "1"


class TestFlows:
    """What the hourly check and the next retrain do without the champion's bundle in the store."""

    @pytest.fixture
    def lost(self, tmp_path):
        from homeostat.bundle.evaluate import make_reference
        from homeostat.bundle.files import write_bundle
        from homeostat.bundle.predictor import Predictor
        from homeostat.retraining.fit import fit

        home = tmp_path / "sample"
        home.mkdir()
        (home / "model.yaml").write_text(MODEL)
        (home / "pipeline.py").write_text(PIPELINE)
        config = load_model(home)
        ports = fake_ports(start=T0)
        rows = rows_between(T0 - timedelta(days=1), T0)
        estimator = fit(config, rows, None)
        reference = make_reference(config, Predictor.of(config, estimator), rows)
        digest = write_bundle(tmp_path / "bundle", config, estimator, reference, {})
        run = ports.registry.start_run("sample", "run", name="train", tags={})
        found = ports.registry.register("sample", "run", run, tmp_path / "bundle", digest, {})
        return config, ports, VersionRef(found.version, digest)

    def test_a_bundle_missing_from_the_store_is_fetched_from_mlflow_and_put_back(self, lost):
        config, ports, champion = lost
        bundle = versions.load_version(ports, config, champion.digest)
        assert len(bundle.predictor.predict(rows_between(T0, T0.replace(hour=1))).prediction) == 60
        assert len(ports.store.list(f"bundles/sample/{champion.digest}/")) == 3
        ports.registry.down = True
        assert versions.load_version(ports, config, champion.digest).digest == champion.digest

    def test_a_missing_reference_is_fetched_from_mlflow_and_put_back(self, lost):
        _, ports, champion = lost
        assert "a" in versions.load_reference(ports, "sample", champion.digest).edges.features

    def test_a_bundle_missing_everywhere_is_reported(self, lost):
        config, ports, champion = lost
        ports.registry.delete("sample", champion.version)
        with pytest.raises(NotFound, match="no bundle"):
            versions.load_version(ports, config, champion.digest)

    def test_a_bundle_changed_in_mlflow_is_refused(self, lost):
        config, ports, champion = lost
        ports.registry.files["sample", champion.version]["model.skops"] = b"something else"
        with pytest.raises(Untrusted, match="changed after registration"):
            versions.load_version(ports, config, champion.digest)
        assert ports.store.list(f"bundles/sample/{champion.digest}/") == []
