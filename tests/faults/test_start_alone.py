"""The gateway starts from its cache while MLflow, the store and the ledger are unavailable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from faults.blocking_server import Held
from faults.tcp_fault_proxy import FaultProxy
from homeostat.adapters import open_ledger, open_store
from homeostat.adapters.registry_mlflow import MlflowRegistry
from serving.gateway_harness import make_gateway_fixture, serving, until


@pytest.fixture
def nowhere():
    """An address that takes every connection and never says anything."""
    with FaultProxy("127.0.0.1", 9) as proxy:
        proxy.switch("blackhole")
        yield proxy.address


@pytest.fixture
def setup(tmp_path):
    """Two versions have served here, the second is champion; the cache holds both."""
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(invert=True))
    second = setup.version()
    with serving(setup) as client:
        client.ready()
        assert client.order("models/pump/promote", {"version": second.version}).status_code == 200
        until(lambda: client.runtime.states["pump"].table.previous is not None, "both are loaded")
    return setup


@pytest.fixture
def alone(setup, nowhere, monkeypatch):
    """The same gateway, with real adapters of services that say nothing."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{nowhere}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setattr("homeostat.serving.runtime.STOP_SECONDS", 1.0)
    ledger = open_ledger(f"postgresql+psycopg2://x@{nowhere}/homeostat")
    ports = replace(
        setup.ports,
        ledger=ledger,
        store=open_store("s3://nowhere/x"),
        registry=MlflowRegistry(f"http://{nowhere}"),
    )
    yield replace(setup, ports=ports)
    ledger.close()


def test_the_last_known_routing_serves_after_a_start_without_any_service(alone):
    with serving(alone) as client:
        client.ready()
        answer = client.score()
        assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
        assert answer.headers["x-homeostat-version"] == "2"
        until(lambda: client.http.get("/health").json()["status"] == "degraded", "health says so", 60)
        for _ in range(20):
            assert client.score().status_code == 200


def test_neither_start_nor_stop_waits_for_a_silent_service(setup, monkeypatch):
    monkeypatch.setattr("homeostat.serving.runtime.STOP_SECONDS", 1.0)
    services = [Held(each) for each in (setup.ports.ledger, setup.ports.store, setup.ports.registry)]
    ledger, store, registry = services
    for each in services:
        each.shut()
    silent = replace(setup, ports=replace(setup.ports, ledger=ledger, store=store, registry=registry))
    try:
        with serving(silent) as client:
            client.ready()
            for _ in range(20):
                answer = client.score()
                assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "2")
            until(lambda: all((ledger.waiting, store.waiting)), "both were asked")
        assert not client.thread.is_alive(), "the gateway has ended"
        assert all((ledger.waiting, store.waiting)), "and neither has said a word to it"
    finally:
        for each in services:
            each.open()


def test_the_previous_version_serves_while_the_champions_cached_copy_is_damaged(alone):
    champion = next(
        folder
        for folder in (alone.settings.cache / "bundles").iterdir()
        if '"invert"' not in (folder / "manifest.json").read_text()
    )
    (champion / "model.skops").write_bytes(b"")
    with serving(alone) as client:
        client.ready()
        answer = client.score()
        assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
        body = client.http.get("/health").json()
        assert body["status"] == "degraded"
        assert any("version 1 serves in place of 2" in trouble for trouble in body["problems"])


def test_a_truncated_saved_routing_is_ignored(setup):
    (kept,) = (setup.settings.cache / "routing").glob("pump.json")
    kept.write_bytes(kept.read_bytes()[:40])
    with serving(setup) as client:
        client.ready()
        # Version 1 may serve while version 2 is being fetched.
        until(lambda: client.score().headers["x-homeostat-version"] == "2", "version 2 serves")
        until(lambda: b'"rollout"' in kept.read_bytes(), "it is written anew")
