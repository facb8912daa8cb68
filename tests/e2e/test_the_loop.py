"""The complete loop with Airflow's scheduler: runs `homeostat demo`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def run_demo(tmp_path, *options, models=None):
    """Run the demo to its end; return the process and the report."""
    report = tmp_path / "report.json"
    env = {
        **os.environ,
        "HOMEOSTAT_STATE": str(tmp_path / "state"),
        "PYTHONPATH": str(ROOT / "include"),
        **({"HOMEOSTAT_MODELS": str(models)} if models else {}),
    }
    program = [sys.executable, "-c", "from homeostat.cli import main; main()", "demo", "--exit"]
    done = subprocess.run(
        [*program, "--report", str(report), *options],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1750,
        check=False,
    )
    assert report.exists(), done.stdout[-4000:]
    return done, json.loads(report.read_text())


def test_drift_and_a_concept_change_heal_and_a_broken_candidate_is_rolled_back(tmp_path):
    done, report = run_demo(tmp_path)
    assert done.returncode == 0, done.stdout[-4000:]
    assert report["ok"]
    stages = {stage["name"]: stage for stage in report["stages"]}
    assert list(stages) == [
        *("platform", "first_version", "quiet", "drift", "retrain", "after"),
        *("concept", "heal", "rollback"),
    ]
    assert len(report["triggers"]) == 2, "none before the drift, one after it, one after the concept changed"
    reason = report["triggers"][0]["reason"]
    assert reason in ("harmful_drift", "sustained_drift"), "depends on whether enough labels have arrived"
    second = report["triggers"][1]["reason"]
    assert second in ("below_best", "performance_decay", "performance_decay_critical")
    assert stages["drift"]["detail"]["windows"] >= 3
    assert report["requests"]["sent"] > 1000
    assert report["requests"]["failed"] == 0
    assert 0 < report["rollback_seconds"] < 10
    assert stages["rollback"]["detail"]["by"].startswith("gateway")
    accuracy = report["accuracy"]
    assert accuracy["drifted"] < accuracy["before_drift"] - 0.05
    assert accuracy["after"] > accuracy["drifted"]
    assert accuracy["changed"] < accuracy["after"] - 0.1
    assert accuracy["healed"] > accuracy["changed"]
    heal = stages["heal"]["detail"]
    assert heal["on_the_same_rows"]["new"] > heal["on_the_same_rows"]["old"]
    assert heal["disagreement"]["expected"] > 0.1, "more than shadow.max_divergence alone allows"
    assert heal["labelled_pairs"]["new"] > heal["labelled_pairs"]["old"]
    versions = {version["version"]: version["tags"] for version in report["versions"]}
    assert sorted(versions) == ["1", "2", "3", "4"]
    assert [versions[v]["homeostat.gate"] for v in "1234"] == ["passed", "passed", "passed", "forced"]
    assert versions["2"]["homeostat.reason"] == reason
    assert versions["3"]["homeostat.reason"] == second
    assert versions["3"]["homeostat.phase"] == "champion"
    assert versions["4"]["homeostat.phase"] == "rolled_back"


def test_a_batch_model_is_retrained_and_promoted_without_shadow_and_canary(tmp_path):
    models = tmp_path / "models"
    shutil.copytree(ROOT / "include" / "models" / "pump_fault", models / "pump_fault")
    path = models / "pump_fault" / "model.yaml"
    path.write_text(path.read_text() + "serve: none\n")
    done, report = run_demo(tmp_path, models=models)
    assert done.returncode == 0, done.stdout[-4000:]
    assert [stage["name"] for stage in report["stages"]][-3:] == ["drift", "retrain", "after"]
    assert len(report["triggers"]) == 1
    assert [version["tags"]["homeostat.gate"] for version in report["versions"]] == ["passed", "passed"]
    assert report["requests"] == {"sent": 0, "failed": 0}
