"""Model health at the gateway: the JSON API, the page and its files, over HTTP."""

from dataclasses import replace

import pytest

from health_story import failing_model
from homeostat.core.rollout import roll_back
from homeostat.figures.health import ASSETS
from serving.gateway_harness import serving


@pytest.fixture
def client(setup):
    setup.begin(setup.version())
    setup.settings = replace(
        setup.settings, airflow="http://airflow.test", tracking_uri="http://user:pw@mlflow.test"
    )
    with serving(setup) as found:
        found.ready()
        yield found


def test_a_model_that_serves_and_was_not_checked_yet(client):
    fleet = client.http.get("/health/models").json()
    (row,) = fleet["models"]
    assert (row["model"], row["state"], row["level"], row["champion"]) == ("pump", "unproven", "notice", "1")
    model = client.http.get("/health/models/pump").json()
    assert model["served"]["sentence"] == "version 1 is champion and serves"
    promoted = client.runtime.ports.ledger.read("pump").promoted_at
    sentence = f"Version 1 has not been checked since it became champion at {promoted:%Y-%m-%d %H:%M} UTC."
    assert model["state"]["sentence"] == row["sentence"] == sentence
    assert model["range"] == "30d"
    assert model["marks"][-1]["kind"] == "promoted"
    assert model["links"]["retrain"] == "http://airflow.test/dags/retrain__pump"
    assert "pw" not in model["links"]["versions"]


def test_a_model_of_the_ledger_that_this_gateway_does_not_serve_has_a_view_too(client):
    failing_model(client.runtime.ports.ledger, "other")
    found = client.http.get("/health/models/other", params={"range": "all"}).json()
    assert found["state"]["state"] in ("failing", "unchecked")
    assert len(found["series"]["time"]) == 48
    assert found["served"] is None


def test_a_roll_back_is_there_at_once(client):
    ledger, now = client.runtime.ports.ledger, client.runtime.now()
    refused = roll_back(ledger.read("pump"), "a test", now) if ledger.read("pump").active else None
    assert refused is None, "the first version has no rollout under way"
    failing_model(ledger, "other")
    back = roll_back(ledger.read("other"), "it fails", now)
    ledger.write(back.traffic, kind=back.kind, reason=back.reason, by="me", at=now)
    marks = client.http.get("/health/models/other").json()["marks"]
    assert marks[-1]["title"] == "Rolled back from version 2 to 1"


def test_a_person_who_rolls_back_is_named_at_once(client, setup):
    setup.version()
    assert client.order("models/pump/promote", {"version": "2", "reason": "try it"}).status_code == 200
    assert client.order("models/pump/rollback", {"reason": "the labels say so"}).status_code == 200
    event = client.runtime.ports.ledger.events("pump")[-1]
    traffic = client.runtime.ports.ledger.read("pump")
    assert event.at == traffic.promoted_at == traffic.rollout.entered_at
    done = client.http.get("/health/models/pump").json()["done"][0]
    assert (done["title"], done["reason"]) == ("Rolled back from version 2 to 1", "The labels say so.")
    assert done["by"] == event.by != ""


@pytest.mark.parametrize(("path", "status"), [("missing", 404), ("pump?range=1y", 400)])
def test_what_does_not_exist_is_an_error_with_a_sentence(client, path, status):
    found = client.http.get(f"/health/models/{path}")
    assert found.status_code == status
    assert found.json()["message"]


def test_the_page_holds_no_data_and_runs_only_its_own_scripts(client):
    page = client.http.get("/fleet")
    assert page.status_code == 200
    assert "pump" not in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for name, kind in ASSETS.items():
        asset = client.http.get(f"/fleet/assets/{name}")
        assert (asset.status_code, asset.headers["content-type"]) == (200, kind)
        assert len(asset.content) > 500


@pytest.mark.parametrize("name", ["__init__.py", "../assets.py", "vendor/README.md", "..%2f..%2fhtml.py"])
def test_no_other_file_is_served(client, name):
    assert client.http.get(f"/fleet/assets/{name}").status_code == 404
