"""`homeostat status` and `homeostat explain` are read in a terminal of 80 columns, and by programs."""

import json
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from homeostat.adapters import open_ledger, open_store
from homeostat.adapters.clock import FakeClock
from homeostat.cli import app as program
from homeostat.cli import console
from homeostat.cli.commands.status_view import _next_check
from homeostat.config import Settings, load_model
from homeostat.core.drift import DriftReport, FeatureVerdict
from homeostat.core.performance import PerformanceReport
from homeostat.core.rollout import Traffic, VersionRef
from homeostat.core.slices import SliceDrift, SliceResult, SliceScore, SlicesReport
from homeostat.core.trigger import TriggerDecision, WindowRecord
from homeostat.notices import Message
from homeostat.notices.outbox import Outbox
from homeostat.storage.check_records import CheckRecord, deciding_settings, newest_check, save_check

END = datetime(2026, 1, 5, 7, tzinfo=UTC)
LATER = END + timedelta(hours=1)
MODEL = """
name: NAME
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
"""
SENTENCE = "The window that ended at 2026-01-05 04:00 UTC fired: in cooldown until 2026-01-06 04:00 UTC."


def add_model(tmp_path, name):
    folder = tmp_path / "models" / name
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL.replace("NAME", name))
    (folder / "pipeline.py").write_text("def build(): ...\n")
    return load_model(folder)


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HOMEOSTAT_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HOMEOSTAT_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    return Settings.from_env()


@pytest.fixture
def checked(tmp_path, settings):
    """A champion whose last window drifted and scored 0.46 against a baseline of 0.76."""
    config = add_model(tmp_path, "pump")
    ledger = open_ledger(settings.ledger)
    ref = VersionRef("3", "a" * 64)
    traffic = Traffic("pump", champion=ref, promoted_at=END - timedelta(days=9))
    ledger.write(traffic, kind="promoted", reason="every check passed, " * 9, by="gateway:g1", at=END)
    ledger.close()
    drifted = FeatureVerdict("a", "number", "alert", "distribution shifted: KS distance 0.4", True, ks=0.4)
    drift = DriftReport("alert", "1 of 1 features drifted (a), the limit is 30%", 240, 1.0, (drifted,))
    reason = "accuracy 0.46 over 3 batches, baseline 0.76: decay 0.300 with a standard error of 0.0028"
    performance = PerformanceReport("alert", reason, "accuracy", 0.46, 0.76, 0.3, rows=180)
    record = WindowRecord(END, "3", 240, "alert", 1.0, "alert", 0.46, 0.3, reason="cooldown_active")
    decision = TriggerDecision(False, "cooldown_active", SENTENCE, 3, "cooldown")
    check = CheckRecord(END, drift, record, performance, decision, deciding_settings(config))
    save_check(open_store(settings.store), "pump", check)


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments, terminal=True, expect=0):
        for module in list(sys.modules.values()):
            if getattr(module, "__name__", "").startswith("homeostat.cli") and hasattr(module, "out"):
                monkeypatch.setattr(module, "out", console.out)
        wide = Console(force_terminal=terminal, width=80, color_system=None)
        monkeypatch.setattr(console, "out", wide)
        monkeypatch.setattr(sys, "argv", ["homeostat", *arguments])
        with pytest.raises(SystemExit) as ended:
            program.main()
        assert ended.value.code in (expect, None if expect == 0 else expect)
        return capsys.readouterr()

    return call


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize("words", [("status",), ("explain", "pump"), ("explain", "pump", "3")])
def test_no_line_is_wider_than_80_columns(run, words):
    said = run(*words).out
    assert max(map(len, said.splitlines())) <= 80
    assert "pump" in said


@pytest.mark.usefixtures("checked")
def test_status_shows_score_baseline_and_the_last_verdict(run):
    said = run("status", terminal=False).out
    assert "serves   version 3 is champion" in said
    assert "score    accuracy 0.46, baseline 0.76, 180 labelled rows: worse than the baseline" in said
    assert re.search(r"check    2026-01-05 07:00 UTC, .* ago: inputs drifted \(100% of the features\)", said)
    assert f"no retrain (cooldown_active): {SENTENCE}" in said
    assert "promoted     every check passed" in said


@pytest.mark.usefixtures("checked")
def test_the_score_of_an_earlier_version_is_not_shown_as_the_champions(run, settings):
    ledger = open_ledger(settings.ledger)
    traffic = Traffic("pump", champion=VersionRef("4", "b" * 64), promoted_at=END, revision=1)
    ledger.write(traffic, kind="promoted", reason="passed", by="gateway:g1", at=END + timedelta(hours=1))
    ledger.close()
    said = run("status", terminal=False).out
    assert "score    version 4 has not been checked yet" in said
    assert "version 3 before it: accuracy 0.46, baseline 0.76" in said
    assert json.loads(run("status", "--json").out)["pump"]["last_check"]["version"] == "3"


@pytest.mark.usefixtures("checked")
def test_the_newest_window_is_shown_where_it_differs_from_the_mean(run, settings):
    check = newest_check(open_store(settings.store), "pump")
    worse = replace(
        check,
        record=replace(check.record, window_end=LATER, score=0.22),
        performance=replace(check.performance, batches=3),
        window_end=LATER,
    )
    save_check(open_store(settings.store), "pump", worse)
    assert (
        "accuracy 0.46 over the last 3 checks, newest 0.22, baseline 0.76"
        in run("status", terminal=False).out
    )


@pytest.mark.usefixtures("checked")
def test_slices_are_shown_in_status_and_explained(run, settings):
    check = newest_check(open_store(settings.store), "pump")
    worse = SliceScore("alert", "accuracy 0.6 over 90 rows", 0.6, 0.9, 0.3, 1e-6, 90)
    well = SliceScore("pass", "accuracy 0.9 over 90 rows", 0.9, 0.9, 0.0, 0.5, 90)
    drift = SliceDrift("alert", "1 of 1 features drifted (a)", 200, 1.0, ("a",))

    def save(**scores):
        results = tuple(SliceResult(f"a={name}", drift, score) for name, score in scores.items())
        found = replace(
            check, slices=SlicesReport("accuracy", results, "" if results else "none until the next")
        )
        save_check(open_store(settings.store), "pump", found)
        return " ".join(run("status", terminal=False).out.split())

    assert "slices worse: a=low (accuracy 0.600, baseline 0.900)" in save(low=worse, high=well)
    assert json.loads(run("status", "--json").out)["pump"]["last_check"]["decayed_slices"] == ["a=low"]
    story = " ".join(run("explain", "pump").out.split())
    assert "a=low: Worse than the baseline: accuracy 0.6 over 90 rows; inputs drifted: 1 of 1" in story
    assert "Worse than the baseline: 1 slice. As good as the baseline: 1 slice." in story
    assert "slices 1 of 1 as good as their baselines" in save(high=well)
    assert "inputs drifted: a=high" in save(high=well)
    assert "slices none until the next" in save()


@pytest.mark.parametrize(
    ("minutes", "said"),
    [
        (-5, "next check at 2026-01-05 07:00 UTC"),
        (5, "next check due since 2026-01-05 07:00 UTC, 5 minutes ago"),
        (10, "next check due since 2026-01-05 07:00 UTC, 10 minutes ago: it is late"),
    ],
)
def test_a_check_is_late_after_ten_minutes(minutes, said):
    assert _next_check(END, END + timedelta(minutes=minutes)) == said


@pytest.mark.usefixtures("checked")
def test_a_retrain_that_runs_is_named(run, settings):
    ledger = open_ledger(settings.ledger)
    ledger.acquire_lease("pump", "pump/1", "0123456789ab", datetime.now(UTC), timedelta(hours=1))
    ledger.close()
    said = run("status", terminal=False).out
    assert "retrain  running: homeostat explain pump 0123456789ab" in said
    assert "no other retrain (cooldown_active)" in said
    assert json.loads(run("status", "--json").out)["pump"]["retrain"] == "0123456789ab"


@pytest.mark.usefixtures("checked")
def test_status_gives_the_last_check_to_programs(run):
    last = json.loads(run("status", "--json").out)["pump"]["last_check"]
    assert (last["score"], last["baseline"], last["fired"], last["drift"]) == (0.46, 0.76, False, "alert")
    assert last["window_end"] == END.isoformat()


@pytest.mark.usefixtures("checked")
def test_status_names_a_notice_that_did_not_arrive(run, settings):
    outbox = Outbox(open_store(settings.store), "pump", FakeClock(END))
    key = outbox.add("", ("people",), Message("pump: version 3 rolled back", "Why."))
    assert "notices" not in run("status", "pump").out, "it is being sent"
    outbox.send(key, lambda *_: {"people": "401 from Slack"})
    said = run("status", "pump", terminal=False).out
    sentence = (
        "'pump: version 3 rolled back' did not reach people (1 of 5 attempts) and is tried again at the next"
        " check: 401 from Slack"
    )
    assert f"notices  {sentence}" in said
    assert json.loads(run("status", "--json").out)["pump"]["undelivered_notices"] == [sentence]


def test_several_models_are_shown_without_their_events(run, checked, tmp_path):
    add_model(tmp_path, "other")
    said = run("status").out
    assert "every check passed" not in said
    assert "check    none yet: homeostat check other" in said
    assert "homeostat status MODEL" in said
    assert "every check passed" in run("status", "pump").out


@pytest.mark.usefixtures("checked")
def test_explain_prints_the_window_and_the_same_as_json(run):
    said = run("explain", "pump", terminal=False).out
    assert f"No retrain was started. {SENTENCE}" in said
    assert "Why this version serves: homeostat explain pump 3" in said
    named = run("explain", "pump", "2026-01-05T07:00Z", terminal=False).out
    assert named.splitlines()[0] == said.splitlines()[0]
    story = json.loads(run("explain", "pump", "--json").out)
    assert story["word"] == "cooldown_active"
    assert "Settings that decided" in [section["heading"] for section in story["sections"]]


@pytest.mark.usefixtures("checked")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("9", "pump has no version 9 in the ledger"),
        ("0123456789ab", "pump has no retrain 0123456789ab in the store"),
        ("2026-01-05T08:00Z", "no checked window that ended at 2026-01-05T08:00Z. The newest ended at"),
        ("yesterday", "WINDOW 'yesterday' is not a time: write it like 2026-01-05T07:00Z"),
    ],
)
def test_what_is_not_known_is_one_sentence(run, what, said):
    assert said in " ".join(run("explain", "pump", what, expect=1).err.split())


def test_a_store_that_cannot_be_read_hides_nothing_else(run, checked, settings, tmp_path):
    (tmp_path / "store" / "reports" / "pump" / "2026-01-05T070000.json").write_text("{")
    said = run("status", terminal=False).out
    assert "version 3 is champion" in said
    assert "the last check cannot be read" in said
