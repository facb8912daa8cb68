"""The first version serves only once a gateway has loaded it; a load failure is shown with its fix."""

from __future__ import annotations

from dataclasses import replace

import pytest

from homeostat.adapters import fake_ports
from homeostat.adapters.gateway_client import read_gateway, why_first_version_waits
from homeostat.config.errors import OutOfMemory, Unavailable, UntrustedType
from homeostat.core.rollout import Phase
from homeostat.core.rollout.served import describe_served
from serving.gated_load import ERROR, LOAD, MAY_LOAD
from serving.gateway_harness import TOKEN, make_gateway_fixture, serving, until


@pytest.fixture(autouse=True)
def clear():
    MAY_LOAD.clear()
    ERROR.clear()
    yield
    MAY_LOAD.set()


def read_model(client):
    return client.http.get("/models/pump", headers={"Authorization": f"Bearer {TOKEN}"}).json()


def read_health(client):
    return client.http.get("/health", headers={"Authorization": f"Bearer {TOKEN}"}).json()


def as_a_client_sees_it(setup, client):
    """Return what ``homeostat status`` and Airflow's pages show."""
    settings = replace(setup.settings, gateway=client.url)
    return describe_served(setup.traffic(), read_gateway(settings).of("pump")), settings


def test_it_is_registered_until_the_gateway_has_loaded_it(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(), first_waits=True)
    with serving(setup, load=LOAD) as client:
        until(lambda: client.runtime.states["pump"].table.traffic.revision == 1, "the ledger is read")
        refused = client.score()
        assert refused.status_code == 503
        assert "Version 1 of model 'pump' is registered and being loaded" in refused.json()["message"]
        served, settings = as_a_client_sees_it(setup, client)
        assert (served.state, served.sentence) == ("loading", "version 1 is registered and is being loaded")
        assert read_model(client)["served"] == served.to_json()
        assert why_first_version_waits(settings, setup.traffic()) == served
        assert read_health(client)["status"] == "ok"
        assert setup.traffic().champion is None
        MAY_LOAD.set()
        client.ready()
        assert client.score().headers["x-homeostat-version"] == "1"
        assert setup.traffic().champion.version == "1"
        assert setup.traffic().rollout.phase is Phase.CHAMPION
        served, settings = as_a_client_sees_it(setup, client)
        assert (served.state, served.sentence) == ("served", "version 1 is champion and serves")
        assert why_first_version_waits(settings, setup.traffic()) is None
    kinds = [event.kind for event in setup.ports.ledger.events("pump")]
    assert kinds == ["begun", "promoted"], "never champion before it was loaded"


def test_a_first_version_that_needs_approval_waits_loaded_and_serves_then(tmp_path):
    MAY_LOAD.set()
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(), first_waits=True, approval=True)
    with serving(setup) as client:
        until(lambda: setup.traffic().rollout.phase is Phase.WAITING, "it waits for approval")
        until(lambda: "waits for approval" in client.score().json()["message"], "clients are told")
        assert as_a_client_sees_it(setup, client)[0].state == "waits_for_approval"
        assert client.order("models/pump/approve").status_code == 200
        client.ready()
        assert client.score().status_code == 200


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            UntrustedType("model.skops: holds evil.Type; add it to HOMEOSTAT_TRUSTED_TYPES"),
            ("evil.Type", "HOMEOSTAT_TRUSTED_TYPES", "homeostat promote pump 1"),
        ),
        (OutOfMemory("needs more memory"), ("HOMEOSTAT_GATEWAY_WORKERS", "homeostat promote pump 1")),
        ("its files are changed", ("digest", "homeostat retrain pump")),
        ("its bundle is gone", ("HOMEOSTAT_STORE", "homeostat promote pump 1")),
    ],
    ids=["type", "memory", "digest", "missing"],
)
def test_a_lasting_load_failure_refuses_it_with_the_reason_and_the_fix(tmp_path, monkeypatch, error, words):
    MAY_LOAD.set()
    setup = make_gateway_fixture(tmp_path)
    ref = setup.version()
    if isinstance(error, Exception):
        ERROR.append(error)
    elif "changed" in error:
        fetch = setup.ports.registry.fetch

        def changed(version, folder):
            fetch(version, folder)
            (folder / "manifest.json").write_text("{}")

        monkeypatch.setattr(setup.ports.registry, "fetch", changed)
    else:
        another_mlflow = fake_ports().registry
        monkeypatch.setattr(setup.ports.registry, "version", another_mlflow.version)
    setup.begin(ref, first_waits=True)
    with serving(setup, load=LOAD) as client:
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it is refused")
        assert setup.traffic().champion is None
        until(lambda: "was refused" in client.score().json()["message"], "clients are told")
        assert client.score().status_code == 503
        served, _ = as_a_client_sees_it(setup, client)
        assert served.state == "first_version_refused"
        assert read_model(client)["served"]["state"] == served.state
        health = read_health(client)
        page = client.http.get("/overview", headers={"Authorization": f"Bearer {TOKEN}"}).text
    assert health["status"] == "degraded"
    (problem,) = health["problems"]
    for word in words:
        assert word in setup.traffic().rollout.reason
        assert word in served.sentence
        assert word in problem
        assert word in page


def test_a_failure_that_may_pass_is_shown_and_retried(tmp_path):
    MAY_LOAD.set()
    ERROR.append(Unavailable("the store does not respond"))
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(), first_waits=True)
    with serving(setup, load=LOAD) as client:
        until(lambda: read_model(client)["load_errors"], "the first attempt has failed")
        served, _ = as_a_client_sees_it(setup, client)
        assert served.sentence == (
            "version 1 is registered and is not loaded: the store does not respond. The gateway tries again"
        )
        assert read_health(client)["problems"] == [f"pump: {served.sentence}"]
        assert setup.traffic().active is not None
        ERROR.clear()
        client.ready()
        assert client.score().status_code == 200
        assert read_health(client)["status"] == "ok"


def test_a_version_that_was_refused_serves_after_the_fix_and_a_promotion(tmp_path):
    MAY_LOAD.set()
    ERROR.append(UntrustedType("holds evil.Type; add it to HOMEOSTAT_TRUSTED_TYPES"))
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(), first_waits=True)
    with serving(setup, load=LOAD):
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it is refused")
    ERROR.clear()
    with serving(setup, load=LOAD) as client:
        until(lambda: client.runtime.states["pump"].table.traffic.revision == 2, "the ledger is read")
        assert client.order("models/pump/promote", {"version": "1"}).status_code == 200
        client.ready()
        assert client.score().headers["x-homeostat-version"] == "1"


def test_without_a_gateway_the_address_and_the_command_are_named(tmp_path, free_port):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version(), first_waits=True)
    url = f"http://127.0.0.1:{free_port()}"
    served = why_first_version_waits(replace(setup.settings, gateway=url), setup.traffic())
    assert served is not None
    assert served.state == "unknown"
    for words in ("version 1 is registered; no gateway has loaded it yet", url, "homeostat gateway"):
        assert words in served.sentence


def test_a_gateway_that_does_not_know_the_model_or_wants_a_token_says_so(tmp_path):
    setup = make_gateway_fixture(tmp_path)
    setup.begin(setup.version())
    setup.settings = replace(setup.settings, require_token=("read",))
    with serving(setup) as client:
        client.ready()
        _, settings = as_a_client_sees_it(setup, client)
        assert "restart it" in str(read_gateway(settings).of("valve"))
        stranger = replace(settings, control_token="")
        assert "HOMEOSTAT_CONTROL_TOKEN" in str(read_gateway(stranger).of("pump"))
