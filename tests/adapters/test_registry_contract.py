"""Contract of every Registry: the in-memory fake and a real MLflow server."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from homeostat.adapters.clock import FakeClock
from homeostat.adapters.registry_memory import MemoryRegistry
from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.bundle.files import tree_digest
from homeostat.config.errors import NotFound, Unavailable, Untrusted

if TYPE_CHECKING:
    from homeostat.ports import Registry

MANIFEST = {
    "task": "classification",
    "classes": [0, 1],
    "features": [{"name": "temp", "type": "number"}, {"name": "season", "type": "category"}],
}


@pytest.fixture(params=["memory", "mlflow"])
def registry(request: pytest.FixtureRequest) -> Registry:
    if request.param == "memory":
        return MemoryRegistry(FakeClock(datetime.now(UTC)))
    return MlflowRegistry(request.getfixturevalue("mlflow_server"))


@pytest.fixture
def model() -> str:
    return f"pump-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle", b"weights")


def make_bundle(folder: Path, weights: bytes) -> Path:
    folder.mkdir()
    (folder / "model.skops").write_bytes(weights)
    (folder / "reference.bin").write_bytes(b"\x00\x01" * 500)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST))
    return folder


def begin(registry: Registry, model: str, key: str) -> str:
    return registry.start_run(model, key, name=key, tags={"homeostat.reason": "drift"})


def put(registry: Registry, model: str, key: str, bundle: Path, **tags: str):
    run_id = begin(registry, model, key)
    return registry.register(model, key, run_id, bundle, tree_digest(bundle), tags)


def overwrite(registry: Any, model: str, version: str, name: str, data: bytes) -> None:
    """Overwrite an artifact of a registered version, as a person or a broken job can."""
    if isinstance(registry, MemoryRegistry):
        registry.files[model, version][name] = data
        return
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client, uri = registry._mlflow.client, registry._mlflow.uri
    where = get_artifact_repository(client.get_model_version_download_uri(model, version), uri, uri)
    path = Path(__import__("tempfile").mkdtemp()) / name
    path.write_bytes(data)
    where.log_artifact(str(path))


def delete(registry: Any, model: str, version: str) -> None:
    if isinstance(registry, MemoryRegistry):
        registry.delete(model, version)
    else:
        registry._mlflow.client.delete_model_version(model, version)


def test_an_unregistered_model_has_no_versions_and_aliases(registry, model):
    assert list(registry.versions(model)) == []
    assert registry.aliases(model) == {}
    with pytest.raises(NotFound):
        registry.version(model, "1")
    registry.set_alias(model, "champion", None)


def test_a_run_is_found_by_its_key(registry, model):
    first = begin(registry, model, "scheduled__2026-03-01T00:00:00+00:00")
    registry.end_run(first)
    registry.end_run(first)
    assert begin(registry, model, "scheduled__2026-03-01T00:00:00+00:00") == first
    assert begin(registry, model, "another") != first
    assert begin(registry, model + "x", "another") not in (first, begin(registry, model, "another"))


def test_a_key_may_hold_an_apostrophe(registry, model):
    assert begin(registry, model, "Anna's run") == begin(registry, model, "Anna's run")


def test_logging_is_idempotent(registry, model):
    run_id = begin(registry, model, "k")
    for _ in range(2):
        registry.log(
            run_id,
            params={"rows": 10, "window": "sliding", "odd [name]": None} | {f"p{i}": i for i in range(120)},
            metrics={"accuracy": 0.9, "psi [a=b]": 0.1, "nan": float("nan"), "inf": float("inf")},
            tags={"homeostat.gate": "passed"},
            artifacts={"gate.json": b"{}", "figures/drift.png": b"png"},
        )
    registry.log(run_id, params={"rows": 11})
    registry.log(run_id)
    registry.end_run(run_id, "FAILED")


def test_a_dataset_may_be_logged_again(registry, model):
    run_id = begin(registry, model, "k")
    for context in ("training", "holdout", "training"):
        registry.log_dataset(run_id, name=model, digest="ab" * 32, uri="s3://b/k", context=context, rows=7)


def test_an_unknown_run_is_not_found(registry):
    with pytest.raises(NotFound):
        registry.log("f" * 32, params={"a": 1}, tags={"a": "b"})
    with pytest.raises(NotFound):
        registry.end_run("f" * 32)


@pytest.mark.quick
def test_a_version_is_registered_with_digest_run_and_tags(registry, model, bundle):
    version = put(registry, model, "k1", bundle, **{"homeostat.gate": "passed"})
    assert (version.model, version.version, version.digest) == (model, "1", tree_digest(bundle))
    assert version.run_id == begin(registry, model, "k1")
    assert version.tags["homeostat.gate"] == "passed"
    assert version.tags["homeostat.run_key"] == "k1"
    assert abs(datetime.now(UTC) - version.created_at) < timedelta(minutes=5)
    assert registry.version(model, "1") == version
    assert list(registry.versions(model)) == [version]


def test_the_same_run_key_is_the_same_version(registry, model, bundle, tmp_path):
    first = put(registry, model, "k1", bundle)
    assert put(registry, model, "k1", bundle) == first
    second = put(registry, model, "k2", make_bundle(tmp_path / "b2", b"other"))
    assert second.version == "2"
    assert [version.version for version in registry.versions(model)] == ["1", "2"]


def test_concurrent_tasks_of_one_run_key_create_one_version(registry, model, bundle):
    run_id = begin(registry, model, "k1")
    found, start = [], threading.Barrier(3)

    def run() -> None:
        start.wait()
        found.append(registry.register(model, "k1", run_id, bundle, tree_digest(bundle), {}).version)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3
    assert put(registry, model, "k1", bundle).version in found
    assert len(registry.versions(model)) == 1


def test_versions_are_sorted_as_numbers(registry, model, bundle):
    for i in range(11):
        put(registry, model, f"k{i}", bundle)
    assert [version.version for version in registry.versions(model)] == [str(i) for i in range(1, 12)]


def test_a_bundle_with_another_digest_is_not_registered(registry, model, bundle):
    run_id = begin(registry, model, "k1")
    with pytest.raises(Untrusted):
        registry.register(model, "k1", run_id, bundle, "0" * 64, {})
    (bundle / "reference.bin").unlink()
    with pytest.raises(Untrusted, match=r"reference\.bin"):
        registry.register(model, "k1", run_id, bundle, "0" * 64, {})
    assert list(registry.versions(model)) == []


def test_a_fetched_bundle_equals_the_registered_one(registry, model, bundle, tmp_path):
    version = put(registry, model, "k1", bundle)
    folder = registry.fetch(version, tmp_path / "cache" / "x")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.skops", "reference.bin"]
    assert tree_digest(folder) == version.digest
    assert registry.fetch(version, tmp_path / "cache" / "x") == folder


@pytest.mark.parametrize("name", ["model.skops", "reference.bin", "manifest.json"])
def test_an_overwritten_artifact_is_not_fetched(registry, model, bundle, tmp_path, name):
    version = put(registry, model, "k1", bundle)
    registry.set_alias(model, "champion", version.version)
    overwrite(registry, model, version.version, name, b"evil")
    with pytest.raises(Untrusted, match="changed after registration"):
        registry.fetch(version, tmp_path / "x")
    assert list((tmp_path / "x").iterdir()) == []


def test_a_deleted_version_is_not_fetched(registry, model, bundle, tmp_path):
    version = put(registry, model, "k1", bundle)
    delete(registry, model, version.version)
    with pytest.raises(NotFound):
        registry.fetch(version, tmp_path / "x")


def test_aliases_can_be_moved_and_removed(registry, model, bundle, tmp_path):
    put(registry, model, "k1", bundle)
    put(registry, model, "k2", bundle)
    registry.set_alias(model, "champion", "1")
    registry.set_alias(model, "candidate", "2")
    assert registry.aliases(model) == {"champion": "1", "candidate": "2"}
    registry.set_alias(model, "champion", "2")
    registry.set_alias(model, "candidate", None)
    registry.set_alias(model, "candidate", None)
    assert registry.aliases(model) == {"champion": "2"}


def test_an_alias_needs_an_existing_version(registry, model, bundle):
    put(registry, model, "k1", bundle)
    registry.set_alias(model, "champion", "1")
    with pytest.raises(NotFound):
        registry.set_alias(model, "candidate", "2")
    delete(registry, model, "1")
    assert registry.aliases(model) == {}
    with pytest.raises(NotFound):
        registry.set_alias(model, "champion", "1")
    for wrong in ("1", "abc", "1/../2", ""):
        with pytest.raises(NotFound):
            registry.version(model, wrong)


def test_version_numbers_are_never_reused(registry, model, bundle, tmp_path):
    put(registry, model, "k1", bundle)
    put(registry, model, "k2", bundle)
    delete(registry, model, "1")
    assert put(registry, model, "k3", bundle).version == "3"


def test_tags_are_added_to_a_version(registry, model, bundle):
    put(registry, model, "k1", bundle)
    registry.tag(model, "1", {"homeostat.phase": "shadow"})
    registry.tag(model, "1", {"homeostat.phase": "canary", "x": "y"})
    tags = registry.version(model, "1").tags
    assert (tags["homeostat.phase"], tags["x"], tags["homeostat.run_key"]) == ("canary", "y", "k1")
    with pytest.raises(NotFound):
        registry.tag(model, "7", {"a": "b"})


def test_a_run_and_a_version_are_described_again_and_again(registry, model, bundle):
    version = put(registry, model, "k1", bundle)
    for text in ("refused in shadow", "champion since today"):
        registry.describe(text, model=model, version="1")
        registry.describe(text, run_id=version.run_id)
    found = registry.version(model, "1").description
    assert found.startswith("champion since today")
    assert "refused" not in found
    with pytest.raises(NotFound):
        registry.describe("text", model=model, version="7")
    with pytest.raises(NotFound):
        registry.describe("text", run_id="0" * 32)


def test_every_page_has_a_url(registry):
    for what in ({}, {"run_id": "r"}, {"model": "m"}, {"model": "m", "version": "3"}):
        assert "://" in registry.url(**what)


def test_the_fake_can_simulate_an_outage():
    registry = MemoryRegistry(FakeClock(datetime.now(UTC)))
    registry.down = True
    with pytest.raises(Unavailable):
        registry.versions("m")


def test_mlflow_down_is_unavailable_within_seconds(free_port, bundle, tmp_path):
    registry = MlflowRegistry(f"http://127.0.0.1:{free_port()}")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="is it running"):
        registry.versions("m")
    assert time.monotonic() - started < 10
    assert registry.url(run_id="r")
