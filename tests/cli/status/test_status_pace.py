"""`homeostat status` says how long a rollout takes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.adapters import open_ledger
from homeostat.core.rollout import Phase, Plan, Rollout, Tally, Traffic, VersionRef
from rollout_plan import PLAN

V1, V2 = VersionRef("1", "a"), VersionRef("2", "b")
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DEFAULT: Plan = replace(
    PLAN, shadow=DAY, shadow_min_samples=200, min_samples=200, max_shadow=30 * DAY, max_step=30 * DAY
)
MODEL = """
name: pump
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "pump"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text("def build(): ...\n")
    monkeypatch.setenv("HOMEOSTAT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOMEOSTAT_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    return folder


@pytest.fixture
def ledger(home, tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def status(monkeypatch, capsys):
    from homeostat.cli import app as program

    def call(*arguments, expect=0):
        monkeypatch.setattr(sys, "argv", ["homeostat", "status", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            program.main()
        out, err = capsys.readouterr()
        assert int(ended.value.code or 0) == expect, err
        return err if expect else out

    return call


def in_phase(ledger, phase, ago, tallies):
    """Write a rollout that entered its phase some time ago, with these counts since."""
    now = datetime.now(UTC)
    champion = V2 if phase is Phase.CHAMPION else V1
    rollout = Rollout("run", V2, phase, 0, now - ago, DEFAULT)
    ledger.write(
        Traffic("pump", 0, champion, rollout=rollout), kind="entered", reason="", by="test", at=now - ago
    )
    ledger.add_evidence("pump", "run", "g", now - ago / 2, tallies)


def test_a_shadow_says_what_it_lacks_and_how_long_it_takes(ledger, status):
    counts = {("shadow", "shadow"): Tally(compared=50), ("shadow", "champion"): Tally(rows=50)}
    in_phase(ledger, Phase.SHADOW, 5 * HOUR, counts)
    assert (
        "  shadow: 50 of 200 rows (shadow.min_samples) after 5 hours, takes about 19 hours more; then canary"
        " step 1 (10%) 8.33 days (200 rows; canary.step_duration is 1 hour), canary step 2 (50%) 40 hours"
    ) in status("pump")
    found = json.loads(status("pump", "--json"))["pump"]["pace"]
    assert (found["stage"], found["rows"], found["needed"]) == ("shadow", 50, 200)
    assert found["remaining_seconds"] == pytest.approx(19 * 3600, rel=0.01)
    faster = json.loads(status("pump", "--rows-per-hour", "5", "--json"))["pump"]["pace"]
    assert faster["remaining_seconds"] == pytest.approx(30 * 3600, rel=0.01)


def test_the_next_rollout_is_described_at_the_traffic_of_the_champion(ledger, status):
    in_phase(ledger, Phase.CHAMPION, 10 * HOUR, {("champion", "champion"): Tally(rows=10_000)})
    assert "a rollout at 1,000 rows an hour (in the last 10 hours): shadow 1 day, canary" in status()
    found = json.loads(status("--json"))["pump"]["pace"]
    assert found["source"] == "in the last 10 hours"
    assert found["rows_per_hour"] == pytest.approx(1000, rel=0.01)
    assert [phase["fits"] for phase in found["phases"]] == [True, True, True]


def test_settings_that_do_not_fit_are_named(ledger, status):
    out = status("pump", "--rows-per-hour", "0.02")
    assert "a rollout at 0.02 rows an hour (--rows-per-hour): shadow would end as inconclusive" in out
    assert "-> lower shadow.min_samples to 14 or raise shadow.max_duration to 63d" in out


def test_without_traffic_nothing_is_said(ledger, status):
    assert "rollout" not in status("pump")
    assert json.loads(status("pump", "--json"))["pump"]["pace"] is None


def test_a_batch_model_has_no_rollout(ledger, status, home):
    (home / "model.yaml").write_text(MODEL + "serve: none\n")
    assert json.loads(status("pump", "--rows-per-hour", "5", "--json"))["pump"]["pace"] is None


def test_an_invalid_model_yaml_does_not_hide_the_traffic(ledger, status, home):
    in_phase(ledger, Phase.CHAMPION, 10 * HOUR, {("champion", "champion"): Tally(rows=10_000)})
    (home / "model.yaml").write_text("name: [")
    assert "version 2 is champion" in status("pump")


@pytest.mark.parametrize("rows", ["0", "-3", "nan", "inf"])
def test_a_rate_must_be_a_positive_number(ledger, status, rows):
    error = status("pump", f"--rows-per-hour={rows}", expect=1)
    assert "write a positive number, such as 1200 or 1.6" in error
