"""The demo's report: JSON for programs, one page for people."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.demo.report import write_report
from homeostat.figures import accuracy_over_time

TITLES = {"concept": "The meaning of the inputs changes", "heal": "Retrain again"}
SUMMARY = {
    "model": "pump_<fault>",
    "ok": True,
    "stages": [
        {"name": "concept", "ok": True, "seconds": 31.2, "result": "the trigger fired", "detail": {}},
        {
            "name": "heal",
            "ok": True,
            "seconds": 40.0,
            "result": "version 3 is champion",
            "detail": {
                "disagreement": {"expected": 0.412, "seen": 0.398},
                "labelled_pairs": {"pairs": 211.0, "new": 0.845, "old": 0.512},
            },
        },
    ],
    "windows": [
        {"end": "2026-01-06T13:00:00+00:00", "accuracy": 0.9},
        {"end": "2026-01-06T14:00:00+00:00", "accuracy": None},
        {"end": "2026-01-06T15:00:00+00:00", "accuracy": 0.5},
    ],
    "events": [{"at": "2026-01-06T14:00:00+00:00", "what": "concept changes", "harms": True}],
    "versions": [{"version": "3", "tags": {"homeostat.gate": "passed", "homeostat.phase": "champion"}}],
    "requests": {"sent": 1200, "failed": 0},
    "accuracy": {"before_drift": 0.91, "drifted": None, "changed": 0.5, "healed": 0.84},
}


def test_the_page_shows_the_figures_of_the_story(tmp_path):
    path = tmp_path / "there" / "report.html"
    write_report(path, SUMMARY, TITLES)
    page = path.read_text()
    for shown in ("41.2 %", "39.8 %", "211", "0.845", "0.512", "0.910", "0.840", "version 3 is champion"):
        assert shown in page
    assert "pump_&lt;fault&gt;" in page
    assert "data:image/png;base64," in page
    assert "http" not in page, "no external resource"


def test_the_page_of_a_demo_that_failed_early_says_so(tmp_path):
    path = tmp_path / "report.html"
    failed = [{"name": "concept", "ok": False, "seconds": 1.0, "result": "MLflow is away", "detail": {}}]
    early = {"ok": False, "stages": failed, "windows": [], "events": [], "versions": [], "accuracy": {}}
    write_report(path, SUMMARY | early, TITLES)
    page = path.read_text()
    assert "a stage failed" in page
    assert "MLflow is away" in page
    assert "data:image" not in page


def test_any_other_file_is_json(tmp_path):
    write_report(tmp_path / "report.json", SUMMARY, TITLES)
    assert json.loads((tmp_path / "report.json").read_text()) == SUMMARY


@pytest.mark.parametrize("windows", [0, 1, 3])
def test_the_picture_is_a_png(windows):
    start = datetime(2026, 1, 6, tzinfo=UTC)
    points = [(start + timedelta(hours=n), 0.9 - 0.2 * n) for n in range(windows)]
    assert accuracy_over_time(points, [(start, "drift", True)])[:4] == b"\x89PNG"
