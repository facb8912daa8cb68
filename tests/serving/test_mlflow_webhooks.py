"""MLflow's webhooks: signature, time and repetition of a delivery, and a champion moved in MLflow."""

import base64
import hashlib
import hmac
import json
from dataclasses import replace

import pytest

from homeostat.adapters.registry_mlflow import MlflowRegistry
from homeostat.rollouts.alias_sync import sync_aliases
from mlflow_process import running_mlflow
from serving.gateway_harness import make_gateway_fixture, serving, until

SECRET = "a-secret-for-tests"
PATH = "/webhooks/mlflow"


@pytest.fixture
def heard(setup):
    """A gateway with two versions, both passed; the first is champion, in MLflow too."""
    setup.settings = replace(setup.settings, webhook_secret=SECRET)
    setup.begin(setup.version())
    setup.version()
    sync_aliases(setup.config, setup.ports)
    return setup


def event(name="pump", alias="champion", entity="model_version_alias", **data):
    return {
        "entity": entity,
        "action": "created",
        "timestamp": "2026-03-02T00:00:00+00:00",
        "data": {"name": name, "alias": alias, "version": "2", **data},
    }


def signed(setup, body, *, delivery="d1", ago=0, secret=SECRET):
    """Sign as MLflow's documentation says."""
    sent = str(int(setup.ports.clock.now().timestamp()) - ago)
    content = f"{delivery}.{sent}.".encode() + body
    signature = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
    return {
        "X-MLflow-Delivery-Id": delivery,
        "X-MLflow-Timestamp": sent,
        "X-MLflow-Signature": f"v1,{signature}",
        "Content-Type": "application/json",
    }


def post(client, setup, what, **how):
    body = json.dumps(what).encode()
    return client.http.post(PATH, content=body, headers=signed(setup, body, **how))


def test_a_champion_moved_in_mlflow_is_promoted_at_once(heard):
    with serving(heard) as client:
        heard.ports.registry.set_alias("pump", "champion", "2")
        response = post(client, heard, event())
        assert response.status_code == 200, response.text
        assert response.json()["done"]["requested_promotion"] == "version 2 promoted, as requested in MLflow"
        assert heard.traffic().champion.version == "2"
        again = post(client, heard, event(), delivery="d2")
        assert (again.status_code, again.json()["done"]) == (200, {})


def test_a_version_that_never_passed_its_gate_is_put_back(heard):
    heard.version(gate="refused")
    with serving(heard) as client:
        heard.ports.registry.set_alias("pump", "champion", "3")
        assert post(client, heard, event(version="3")).json()["done"]["champion"] == "1"
    assert heard.ports.registry.aliases("pump")["champion"] == "1"
    assert heard.traffic().champion.version == "1"


@pytest.mark.parametrize(
    ("how", "status"),
    [({"secret": "another"}, 401), ({"ago": 400}, 401), ({"ago": -400}, 401), ({"delivery": ""}, 401)],
    ids=["secret", "old", "early", "no id"],
)
def test_a_delivery_that_is_not_mlflows_or_not_of_now_changes_nothing(heard, how, status):
    with serving(heard) as client:
        heard.ports.registry.set_alias("pump", "champion", "2")
        assert post(client, heard, event(), **how).status_code == status
        assert heard.traffic().champion.version == "1"


def test_a_changed_body_or_header_breaks_the_signature(heard):
    body = json.dumps(event()).encode()
    with serving(heard) as client:
        whole = signed(heard, body)
        assert client.http.post(PATH, content=body + b" ", headers=whole).status_code == 401
        for name in ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"):
            assert client.http.post(PATH, content=body, headers=whole | {name: "1"}).status_code == 401
            without = {key: value for key, value in whole.items() if key != name}
            assert client.http.post(PATH, content=body, headers=without).status_code == 401
        assert client.http.post(PATH, content=body, headers=whole).status_code == 200
        assert client.http.post(PATH, content=body, headers=whole).status_code == 409, "a replay"


def test_a_delivery_that_failed_may_come_again(heard):
    with serving(heard) as client:
        heard.ports.registry.down = True
        assert post(client, heard, event()).status_code == 503
        heard.ports.registry.down = False
        assert post(client, heard, event()).status_code == 200


@pytest.mark.parametrize(
    "what",
    [
        event(alias="candidate"),
        event(name="other"),
        event(entity="model_version_tag", key="homeostat.gate", value="passed"),
    ],
    ids=["alias", "model", "tag"],
)
def test_other_events_are_acknowledged_and_change_nothing(heard, what):
    with serving(heard) as client:
        heard.ports.registry.set_alias("pump", "champion", "2")
        response = post(client, heard, what)
        assert (response.status_code, response.json()["handled"]) == (200, False)
        assert heard.traffic().champion.version == "1"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"entity": 1, "data": {}}', b"\xff"])
def test_a_signed_body_that_is_no_event_is_refused(heard, body):
    with serving(heard) as client:
        assert client.http.post(PATH, content=body, headers=signed(heard, body)).status_code == 400


def test_without_a_secret_nothing_is_heard(setup):
    with serving(setup) as client:
        response = post(client, setup, event(), secret="")
        assert response.status_code == 404
        assert "HOMEOSTAT_MLFLOW_WEBHOOK_SECRET" in response.text


@pytest.mark.slow
def test_a_real_mlflow_tells_the_gateway_of_a_moved_champion(tmp_path, free_port, monkeypatch):
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http")
    monkeypatch.setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
    monkeypatch.setenv("MLFLOW_WEBHOOK_CACHE_TTL", "0")  # MLflow would know the new webhook after a minute
    with running_mlflow(tmp_path, tmp_path / "files", free_port()) as url:
        registry = MlflowRegistry(url)
        setup = make_gateway_fixture(tmp_path, registry=registry)
        setup.settings = replace(setup.settings, webhook_secret=SECRET)
        first, second = (setup.version(features=[{"name": "a", "type": "number"}]) for _ in range(2))
        setup.begin(first)
        sync_aliases(setup.config, setup.ports)
        assert setup.traffic().champion == first
        with serving(setup) as client:
            registry._mlflow.client.create_webhook(
                name="homeostat",
                url=f"{client.url}{PATH}",
                events=["model_version_alias.created", "model_version_alias.deleted"],
                secret=SECRET,
            )
            registry.set_alias("pump", "champion", second.version)
            until(lambda: setup.traffic().champion == second, "the promotion is in the ledger", 60)
            until(lambda: registry.aliases("pump").get("previous") == first.version, "MLflow follows", 60)
