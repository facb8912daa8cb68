"""The Model health page in Airflow."""

import json
from datetime import UTC, datetime

from homeostat.adapters import open_ledger
from homeostat.config import load_model
from homeostat.core.rollout import Plan, VersionRef, begin, roll_back
from sample_model import MODEL, PIPELINE
from serving.gateway_harness import make_gateway_fixture, serving

PAGE = """
import json
from homeostat_airflow.health_page import health
print(json.dumps(health(None)))
"""


def write_model(home):
    """Return the model and the settings of a deployment without a gateway."""
    folder = home / "models" / "sample"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    return load_model(folder), {
        "HOMEOSTAT_MODELS": str(home / "models"),
        "HOMEOSTAT_STATE": str(home / "state"),
        "HOMEOSTAT_LEDGER": f"sqlite:///{home}/ledger.db",
        "HOMEOSTAT_GATEWAY": "http://127.0.0.1:9",  # nothing listens there
    }


def test_the_page_shows_a_model_without_a_champion_and_its_last_report(run_in_airflow, tmp_path):
    _, env = write_model(tmp_path)
    alert = {"name": "a<b", "verdict": "alert", "reason": "distribution shifted"}
    report = {
        "window_end": "2026-03-02T19:00:00+00:00",
        "verdict": "alert",
        "rows": 144,
        "drifted_share": 0.5,
        "reason": "1 of 2 features drifted",
        "features": [alert, {"name": "c", "verdict": "pass", "reason": "within tolerance"}],
        "outputs": [],
        "schema": [],
    }
    reports = tmp_path / "state" / "store" / "reports" / "sample"
    reports.mkdir(parents=True)
    (reports / "2026-03-02T190000.json").write_text(json.dumps(report))
    page = json.loads(run_in_airflow(PAGE, **env))
    assert "No champion yet" in page
    assert "1 of 2 features drifted" in page
    assert "a&lt;b" in page, "text from data is escaped"
    assert "within tolerance" not in page


def test_the_page_says_what_the_gateway_serves_in_the_words_of_the_gateway(run_in_airflow, tmp_path):
    config, env = write_model(tmp_path)
    ledger = open_ledger(env["HOMEOSTAT_LEDGER"])
    setup = make_gateway_fixture(tmp_path, config, ledger=ledger)
    with serving(setup) as gateway:
        env["HOMEOSTAT_GATEWAY"] = gateway.url
        setup.begin(setup.version())
        gateway.ready("sample")
        sentence = gateway.http.get("/models/sample").json()["served"]["sentence"]
        assert sentence == "version 1 is champion and serves"
        assert f"V{sentence[1:]}" in json.loads(run_in_airflow(PAGE, **env))
    assert "Version 1 is champion; no gateway responds at" in json.loads(run_in_airflow(PAGE, **env))
    ledger.close()


def test_the_page_says_why_a_first_version_does_not_serve(run_in_airflow, tmp_path):
    config, env = write_model(tmp_path)
    ledger, now = open_ledger(env["HOMEOSTAT_LEDGER"]), datetime.now(UTC)
    begun = begin(ledger.read("sample"), VersionRef("1", "a" * 64), "run", Plan.of(config), now)
    ledger.write(begun.traffic, kind=begun.kind, reason=begun.reason, by="test", at=now)
    waits = json.loads(run_in_airflow(PAGE, **env))
    assert "Version 1 is registered; no gateway has loaded it yet" in waits
    assert "Start one: homeostat gateway" in waits
    why = "version 1 could not be loaded: evil.Type; add it to HOMEOSTAT_TRUSTED_TYPES"
    refused = roll_back(ledger.read("sample"), why, now)
    ledger.write(refused.traffic, kind=refused.kind, reason=refused.reason, by="test", at=now)
    assert f"No version serves: version 1 was refused: {why}" in json.loads(run_in_airflow(PAGE, **env))
    ledger.close()
