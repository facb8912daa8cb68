"""A first retrain while no gateway runs: what each command says then, and once a gateway is started."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from homeostat.adapters import build_ports, open_ledger
from homeostat.cli.commands import check_retrain
from homeostat.config import Settings
from homeostat.serving.runtime import LOAD_BUNDLE
from serving.gateway_harness import FAST, GatewayFixture, serving


@pytest.fixture
def installed(folder, recent_rows, mlflow_server, monkeypatch):
    """The sample model under a unique name, a real MLflow, and no gateway."""
    mine = folder.rename(folder.with_name(f"sample-{uuid4().hex[:8]}"))
    path = mine / "model.yaml"
    path.write_text(path.read_text().replace("name: sample", f"name: {mine.name}"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    monkeypatch.setattr(check_retrain, "NO_GATEWAY_SECONDS", 0.0)
    monkeypatch.setattr(check_retrain, "ASK_SECONDS", 0.0)
    return mine


def test_the_version_waits_and_serves_once_a_gateway_is_started(cli, installed, quick, monkeypatch):
    name = installed.name
    first = cli("retrain", name)
    assert first.status == 0, first.err
    assert "version 1 is registered; no gateway has loaded it yet" in first.out
    assert "Start one: homeostat up, or homeostat gateway" in first.out
    assert "champion since" not in first.out
    settings = Settings.from_env()
    ledger = open_ledger(settings.ledger)
    assert ledger.read(name).champion is None
    assert ledger.lease_holder(name, build_ports(settings).clock.now()) is None, "the next retrain may start"
    waits = "version 1 is registered; no gateway has loaded it yet"
    assert waits in cli("status").out
    assert cli("status", "--json").json[name]["served"]["state"] == "unknown"

    setup = GatewayFixture(build_ports(settings), settings, settings.load_model(name), installed, FAST)
    with serving(setup, load=LOAD_BUNDLE) as client:
        client.ready(name)
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", client.url)
        row = {"a": 1.0, "b": 0.0, "kind": "red"}
        assert client.score(row, model=name).headers["x-homeostat-version"] == "1"
        served = "version 1 is champion and serves"
        assert served in cli("status").out
        shown = cli("status", "--json").json[name]
        assert shown["served"] == {"state": "served", "sentence": served}
        assert client.http.get(f"/models/{name}").json()["served"] == shown["served"]
        doctor = json.loads(cli("doctor", "--json").out)
        found = [check for check in doctor["checks"] if check["name"] == "serving"]
        assert [(check["state"], check["sentence"]) for check in found] == [("ok", served)]


def test_a_gateway_that_cannot_load_it_refuses_it_and_all_say_why(cli, installed, quick, monkeypatch):
    name, settings = installed.name, Settings.from_env()
    setup = GatewayFixture(
        build_ports(settings), replace(settings, control_token=""), settings.load_model(name), installed, FAST
    )
    with serving(setup, load="serving.gated_load:refuse") as client:
        monkeypatch.setenv("HOMEOSTAT_GATEWAY", client.url)
        said = cli("retrain", name)
        status = cli("status").out
    assert said.status == 1
    for text in (said.out, status):
        assert "version 1 was refused" in text
        for words in ("evil.Type", "HOMEOSTAT_TRUSTED_TYPES", f"homeostat promote {name} 1"):
            assert words in text
