"""A real MLflow unreachable, slow, silent or resetting connections; and changes made in its UI."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from faults.blocking_server import Held
from faults.tcp_fault_proxy import FaultProxy
from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.core.rollout import Phase
from homeostat.rollouts.alias_sync import sync_aliases
from serving.gateway_harness import make_gateway_fixture, model_config, serving, until

pytestmark = pytest.mark.slow

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
FEATURES = {"features": [{"name": "a", "type": "number"}]}


@pytest.fixture
def proxy(mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    parts = urlsplit(mlflow_server)
    with FaultProxy(parts.hostname, parts.port, delay=0.2) as made:
        yield made


@pytest.fixture
def setup(tmp_path, proxy, mlflow_server):
    """A gateway whose versions are registered in MLflow and fetched from it through the proxy."""
    made = make_gateway_fixture(tmp_path, model_config(f"pump-{uuid.uuid4().hex[:6]}"))
    made.ports = replace(made.ports, registry=MlflowRegistry(mlflow_server))
    return made


def through(setup, proxy):
    """The same setup, except that the gateway reaches MLflow through the proxy."""
    return replace(setup, ports=replace(setup.ports, registry=MlflowRegistry(f"http://{proxy.address}")))


@pytest.mark.parametrize("fault", ["refuse", "blackhole", "reset", "slow"])
def test_requests_are_served_and_a_candidate_waits_for_its_bundle_while_mlflow_is(setup, proxy, fault):
    name = setup.config.name
    setup.begin(setup.version(**FEATURES))
    with serving(through(setup, proxy)) as client:
        client.ready(name)
        ref = setup.version(**FEATURES)
        with proxy.having(fault):
            setup.begin(ref, skip_shadow=True)
            for unit in range(50):
                answer = client.score(ROW | {"unit": unit}, model=name)
                assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
                time.sleep(0.02)
            if fault != "slow":
                assert setup.traffic().rollout.phase is Phase.REGISTERED, "its time does not run yet"
        until(lambda: setup.traffic().rollout.phase is Phase.CANARY, "it was fetched and began", 90)


def test_a_manual_rollback_needs_no_mlflow(setup, proxy):
    name = setup.config.name
    setup.begin(setup.version(**FEATURES))
    with serving(through(setup, proxy)) as client:
        client.ready(name)
        setup.begin(setup.version(**FEATURES), skip_shadow=True)
        until(lambda: client.runtime.states[name].table.candidate is not None, "the canary began", 90)
        with proxy.having("blackhole"):
            assert client.order(f"models/{name}/rollback", {"reason": "no"}).status_code == 200


def test_neither_a_request_nor_a_rollback_waits_for_a_version_that_is_being_fetched(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    held = Held(setup.ports.registry)
    with serving(replace(setup, ports=replace(setup.ports, registry=held))) as client:
        client.ready()
        ref = setup.version()
        held.shut()
        try:
            setup.begin(ref, skip_shadow=True)
            until(lambda: held.waiting, "the registry is asked for the candidate")
            for unit in range(50):
                answer = client.score(ROW | {"unit": unit})
                assert (answer.status_code, answer.headers["x-homeostat-version"]) == (200, "1")
            assert setup.traffic().rollout.phase is Phase.REGISTERED, "its time does not run yet"
            assert client.order("models/pump/rollback", {"reason": "no"}).status_code == 200
            assert setup.traffic().rollout.phase is Phase.ROLLED_BACK
            assert held.waiting, "the registry has not answered yet"
        finally:
            held.open()


def test_the_aliased_version_deleted_in_mlflow_keeps_serving_and_a_notice_is_sent(setup, proxy):
    name, registry = setup.config.name, setup.ports.registry
    setup.begin(setup.version(**FEATURES))
    sync_aliases(setup.config, setup.ports)
    assert registry.aliases(name) == {"champion": "1"}
    with serving(through(setup, proxy)) as client:
        client.ready(name)
        registry._mlflow.client.delete_model_version(name, "1")
        assert registry.aliases(name) == {}
        done = sync_aliases(setup.config, setup.ports)
        assert "deleted in MLflow" in done["champion"]
        assert "deleted in MLflow" in setup.ports.notifier.sent[-1][1].title
        assert client.score(model=name).status_code == 200
    with serving(through(setup, proxy)) as client:
        client.ready(name)
        assert client.score(model=name).headers["x-homeostat-version"] == "1"


def test_champion_moved_in_mlflow_is_promoted_if_it_passed_its_gate_and_put_back_otherwise(setup, proxy):
    name, registry = setup.config.name, setup.ports.registry
    setup.begin(setup.version(**FEATURES))
    good, bad = setup.version(**FEATURES), setup.version(**FEATURES, gate="refused")
    sync_aliases(setup.config, setup.ports)
    with serving(through(setup, proxy)) as client:
        client.ready(name)
        registry._mlflow.client.set_registered_model_alias(name, "champion", bad.version)
        done = sync_aliases(setup.config, setup.ports)
        assert "never passed its gate" in done["requested_promotion"]
        assert registry.aliases(name)["champion"] == "1"
        assert setup.traffic().champion.version == "1"
        assert "put back" in setup.ports.notifier.sent[-1][1].title
        registry._mlflow.client.set_registered_model_alias(name, "champion", good.version)
        done = sync_aliases(setup.config, setup.ports)
        assert "promoted" in done["requested_promotion"]
        assert registry.aliases(name) == {"champion": good.version, "previous": "1"}
        until(
            lambda: client.score(model=name).headers["x-homeostat-version"] == good.version,
            "the gateway serves it",
            30,
        )


def test_an_artifact_overwritten_in_mlflow_is_refused_by_a_gateway_without_a_copy(setup, proxy):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    name, registry = setup.config.name, setup.ports.registry
    setup.begin(setup.version(**FEATURES))
    with serving(through(setup, proxy)) as client:
        client.ready(name)
        ref = setup.version(**FEATURES)
        path = setup.folder / "model.skops"
        path.write_bytes(b"something else")
        uri = registry._mlflow.uri
        source = registry._mlflow.client.get_model_version_download_uri(name, ref.version)
        get_artifact_repository(source, uri, uri).log_artifact(str(path))
        setup.begin(ref, skip_shadow=True)
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back", 90)
        assert "changed after registration" in setup.traffic().rollout.reason
        assert client.score(model=name).headers["x-homeostat-version"] == "1"
