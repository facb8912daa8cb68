"""The Model health pages in Airflow: as its web server serves them, with its login."""

import json
from datetime import UTC, datetime

import pytest

from health_story import failing_model
from homeostat.adapters import open_ledger
from homeostat.config import load_model
from homeostat.core.rollout import Plan, VersionRef, begin, roll_back
from sample_model import MODEL, PIPELINE
from serving.gateway_harness import make_gateway_fixture, serving

#: Ask the plugin's application as Airflow mounts it; without a login, and then with one.
ASK = """
import json, sys
from fastapi import FastAPI
from fastapi.testclient import TestClient
from airflow.api_fastapi.core_api.security import get_user
from homeostat_airflow.plugin import HomeostatPlugin
assert "homeostat_airflow.health_page" not in sys.modules, "every task's process imports the plugin"
airflow, [pages] = FastAPI(), HomeostatPlugin.fastapi_apps
airflow.mount(pages["url_prefix"], pages["app"])
from homeostat_airflow.health_page import app
client = TestClient(airflow)
paths = {paths!r}
refused = [client.get("/homeostat" + path).status_code for path in paths]
app.dependency_overrides[get_user] = lambda: object()
found = [client.get("/homeostat" + path) for path in paths]
print(json.dumps([[no, yes.status_code, yes.text, dict(yes.headers)] for no, yes in zip(refused, found)]))
"""


@pytest.fixture
def write_model(tmp_path):
    """Return the model and the settings of a deployment without a gateway."""
    folder = tmp_path / "models" / "sample"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    return load_model(folder), {
        "HOMEOSTAT_MODELS": str(tmp_path / "models"),
        "HOMEOSTAT_STATE": str(tmp_path / "state"),
        "HOMEOSTAT_LEDGER": f"sqlite:///{tmp_path}/ledger.db",
        "HOMEOSTAT_GATEWAY": "http://127.0.0.1:9",  # nothing listens there
    }


@pytest.fixture
def ask(run_in_airflow, write_model):
    """Return statuses without and with a login, texts and headers, by path."""
    _, env = write_model

    def get(*paths, **more):
        answers = json.loads(run_in_airflow(ASK.format(paths=list(paths)), **env | more))
        return dict(zip(paths, answers, strict=True))

    return get


def test_pages_and_data_need_a_login_and_only_files_of_the_pages_do_not(ask, write_model):
    ledger = open_ledger(write_model[1]["HOMEOSTAT_LEDGER"])
    failing_model(ledger, "pump")
    ledger.close()
    model = "/health/models/pump?range=all"
    found = ask(
        "/health",
        "/health/models",
        model,
        "/health/models/nobody",
        "/health/assets/health.js",
        "/health/assets/x",
    )
    statuses = {path: (no, yes) for path, (no, yes, *_) in found.items()}
    assert statuses == {
        "/health": (401, 200),
        "/health/models": (401, 200),
        model: (401, 200),
        "/health/models/nobody": (401, 404),
        "/health/assets/health.js": (200, 200),
        "/health/assets/x": (404, 404),
    }
    page, headers = found["/health"][2:]
    assert "frame-ancestors 'self'" in headers["content-security-policy"], "Airflow shows it in a frame"
    assert "pump" not in page
    rows = {row["model"]: row["state"] for row in json.loads(found["/health/models"][2])["models"]}
    assert rows == {"pump": "failing", "sample": "empty"}
    view = json.loads(found[model][2])
    assert len(view["series"]["time"]) == 48
    assert view["links"]["retrain"] == "../dags/retrain__pump"
    assert view["marks"][-1]["run"] == "../dags/retrain__pump/runs/asset__1"


def test_the_page_says_what_the_gateway_serves_in_the_words_of_the_gateway(ask, write_model, tmp_path):
    config, env = write_model
    ledger = open_ledger(env["HOMEOSTAT_LEDGER"])
    setup = make_gateway_fixture(tmp_path, config, ledger=ledger)
    path = "/health/models/sample"
    with serving(setup) as gateway:
        setup.begin(setup.version())
        gateway.ready("sample")
        sentence = gateway.http.get("/models/sample").json()["served"]["sentence"]
        assert sentence == "version 1 is champion and serves"
        answer = ask(path, HOMEOSTAT_GATEWAY=gateway.url)[path]
        assert json.loads(answer[2])["served"]["sentence"] == sentence
    away = json.loads(ask(path)[path][2])["served"]["sentence"]
    assert away.startswith("version 1 is champion; no gateway responds at")
    ledger.close()


def test_the_page_says_why_a_first_version_does_not_serve(ask, write_model):
    config, env = write_model
    path = "/health/models/sample"
    ledger, now = open_ledger(env["HOMEOSTAT_LEDGER"]), datetime.now(UTC)
    begun = begin(ledger.read("sample"), VersionRef("1", "a" * 64), "run", Plan.of(config), now)
    ledger.write(begun.traffic, kind=begun.kind, reason=begun.reason, by="test", at=now)
    waits = json.loads(ask(path)[path][2])
    assert waits["state"]["state"] == "rolling_out"
    assert "Start one: homeostat up, or homeostat gateway" in waits["served"]["sentence"]
    why = "version 1 could not be loaded: evil.Type; add it to HOMEOSTAT_TRUSTED_TYPES"
    refused = roll_back(ledger.read("sample"), why, now)
    ledger.write(refused.traffic, kind=refused.kind, reason=refused.reason, by="test", at=now)
    down = json.loads(ask(path)[path][2])
    assert down["state"]["state"] == "down"
    assert why in down["state"]["sentence"]
    ledger.close()


def test_a_task_links_to_the_page_of_its_model(run_in_airflow):
    code = """
from homeostat_airflow.operators import CheckDriftOperator
operator = CheckDriftOperator(task_id="check", model="pump_fault")
links = {link.name: link for link in operator.operator_extra_links}
print(links["Model health"].get_link(operator, ti_key=None))
"""
    found = run_in_airflow(code, AIRFLOW__API__BASE_URL="http://airflow.test/base/")
    assert found == "http://airflow.test/base/homeostat/health?model=pump_fault"
