"""The Model health page in Airflow."""

import json

from sample_model import MODEL, PIPELINE

PAGE = """
import json
from homeostat_airflow.health_page import health
print(json.dumps(health(None)))
"""


def test_the_page_shows_a_model_without_a_champion_and_its_last_report(run_in_airflow, tmp_path):
    folder = tmp_path / "models" / "sample"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
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
    env = {"HOMEOSTAT_MODELS": str(tmp_path / "models"), "HOMEOSTAT_STATE": str(tmp_path / "state")}
    page = json.loads(run_in_airflow(PAGE, **env))
    assert "No champion yet" in page
    assert "1 of 2 features drifted" in page
    assert "a&lt;b" in page, "text from data is escaped"
    assert "within tolerance" not in page
