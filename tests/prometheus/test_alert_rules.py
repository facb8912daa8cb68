"""The alert rules: promtool accepts them, each fires where it should, and has its section of the runbook."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from homeostat.core.trigger import LEAST_SILENCE, SILENT_AFTER_PERIODS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "infra" / "monitoring"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]


@pytest.fixture(scope="module")
def promtool():
    """Run promtool in the folder of the rules."""
    program = shutil.which("promtool")
    if program is None:
        pytest.skip(
            "promtool is not installed, so the alert rules are not tested: apt-get install prometheus"
        )

    def run(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_promtool_accepts_rules_and_configuration(promtool):
    assert f"{len(NAMES)} rules found" in promtool("check", "rules", "alerts.yaml")
    assert "is valid" in promtool("check", "config", "--syntax-only", "prometheus.yml")


def test_every_alert_fires_and_does_not_fire_as_its_tests_say(promtool):
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yaml")


def test_checks_count_as_stopped_where_the_pages_say_so():
    (rule,) = [rule for rule in RULES if rule["alert"] == "HomeostatChecksStopped"]
    periods, least = re.search(r"clamp_min\((\d+) \* .+, (\d+)\)$", rule["expr"]).groups()
    assert int(periods) == SILENT_AFTER_PERIODS
    assert int(least) == LEAST_SILENCE.total_seconds()


def test_every_alert_has_a_test_of_both():
    named = {each["name"] for each in yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]}
    assert len(set(NAMES)) == len(NAMES)
    assert named >= {f"{name} {what}" for name in NAMES for what in ("fires", "does not fire")}


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_alert_has_a_severity_a_summary_and_a_section_of_the_runbook(rule):
    name = rule["alert"]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    link = "{{ $externalLabels.docs_url }}/runbook.md#" + name.lower()
    assert rule["annotations"]["runbook_url"] == link
    section = RUNBOOK.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\*\*(.+?):\*\*", section, re.MULTILINE) == ["Means", "Look at", "Do"]


def test_the_runbook_has_no_section_without_an_alert():
    assert re.findall(r"^## (.+)$", RUNBOOK, re.MULTILINE) == NAMES


def test_panels_that_the_runbook_names_are_on_the_dashboard():
    panels = json.loads((FOLDER / "grafana" / "homeostat.json").read_text())["panels"]
    titles = {panel["title"] for panel in panels}
    named = set(re.findall(r"\*([A-Z][^*]+)\*(?!\*)", RUNBOOK.replace("**", "")))
    assert len(named) > 5
    assert named <= titles | {"Window end", "Force"}  # fields of Airflow's forms
