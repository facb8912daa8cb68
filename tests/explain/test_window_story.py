"""The story of a window: its causes are those of the trigger, and its settings those of docs/reasons.md."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config.model import Trigger
from homeostat.core.drift import DriftReport, FeatureVerdict, SchemaFinding
from homeostat.core.performance import PerformanceReport
from homeostat.core.trigger import TriggerDecision, TriggerReason, WindowRecord
from homeostat.core.trigger.causes import find_cause
from homeostat.core.trigger.evidence import Evidence
from homeostat.explain import explain_window
from homeostat.explain.causes import explain_causes
from homeostat.storage.check_records import CheckRecord, deciding_settings

END = datetime(2026, 1, 5, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
REASONS = Path(__file__).resolve().parents[2] / "docs" / "reasons.md"
RECORD = WindowRecord(END, "3", 240, "alert", 0.5, "alert", 0.46, 0.3, significant=True, labelled_rows=60)


def feature(name, *, drifted, ks):
    verdict, reason = ("alert", "distribution shifted") if drifted else ("pass", "within tolerance")
    return FeatureVerdict(name, "number", verdict, reason, drifted, ks=ks, p_adjusted=1e-5)


DRIFT = DriftReport(
    "alert",
    "1 of 2 features drifted (temp), the limit is 30%",
    240,
    0.5,
    (feature("wind", drifted=False, ks=0.02), feature("temp", drifted=True, ks=0.4)),
    schema=(SchemaFinding("oil", "missing", "the column is missing", "critical"),),
)
PERFORMANCE = PerformanceReport(
    "alert", "accuracy 0.46 over 3 batches, baseline 0.76", "accuracy", 0.46, 0.76, 0.3
)


def check(config, *, fire=False, reason=TriggerReason.COOLDOWN_ACTIVE, sentence="In cooldown.", **more):
    decision = TriggerDecision(fire, reason, sentence, 1, "fired" if fire else "quiet")
    record = replace(RECORD, fired=fire, reason=str(reason), **more)
    return CheckRecord(END, DRIFT, record, PERFORMANCE, decision, deciding_settings(config))


def section(story, heading):
    return next((s.lines for s in story.sections if s.heading == heading), ())


def test_the_story_gives_decision_inputs_and_performance_with_their_figures(config):
    story = explain_window("bike", check(config))
    assert story.title == "bike: window that ended 2026-01-05 07:00 UTC (240 rows, version 3)"
    assert story.sentence == "No retrain was started. In cooldown."
    assert story.word == "cooldown_active"
    inputs = section(story, "Inputs")
    assert inputs[0] == "The inputs have drifted: 1 of 2 features drifted (temp), the limit is 30%."
    assert inputs[1].startswith("temp: distribution shifted")
    assert "critical: oil: the column is missing." in inputs
    assert "is 0.1 or more (monitor.min_effect)" in inputs[-1]
    assert "baseline 0.76" in section(story, "Performance")[0]
    assert section(story, "Settings that decided") == ("trigger.cooldown: 6h",)


def test_a_window_that_fired_names_no_retrain_that_it_does_not_know(config):
    story = explain_window("bike", check(config, fire=True, reason=TriggerReason.PERFORMANCE_DECAY))
    assert story.sentence.startswith("A retrain was started.")
    assert "retrain__bike in Airflow" in section(story, "What the retrain came to")[0]


def test_a_record_of_an_earlier_release_tells_what_it_has(config):
    story = explain_window("bike", CheckRecord(END, DRIFT))
    assert "experiment bike/monitoring" in story.sentence
    assert [s.heading for s in story.sections] == ["Inputs"]


def documented_settings():
    """Yield each reason of the trigger with the settings that docs/reasons.md names for it."""
    tables = REASONS.read_text().partition("## Why performance is not computable")[0]
    for word, row in re.findall(r"^\| `(\w+)` \|(.*)\|$", tables, re.MULTILINE):
        yield word, re.findall(r"`([\w.]+)`", row.rpartition("|")[2])


@pytest.mark.parametrize("reason", list(TriggerReason))
def test_the_settings_of_a_reason_are_those_of_the_page(config, reason):
    known = deciding_settings(config)
    documented = [name for name in dict(documented_settings())[reason] if name in known]
    shown = section(explain_window("bike", check(config, reason=reason)), "Settings that decided")
    missing = set(documented) - {line.partition(":")[0] for line in shown}
    assert not missing


@pytest.mark.parametrize("reason", list(TriggerReason))
def test_every_reason_says_what_to_do(config, reason):
    (said,) = section(explain_window("bike", check(config, reason=reason)), "What to do")
    assert said.endswith((".", "homeostat retrain bike"))
    assert "{" not in said


verdicts = st.sampled_from(["pass", "alert", "not_computable"])
records = st.builds(
    WindowRecord,
    window_end=st.integers(0, 5).map(lambda n: END - n * HOUR),
    version=st.sampled_from(["2", "3"]),
    rows=st.just(240),
    drift=verdicts,
    drifted_share=st.just(0.5),
    performance=st.sampled_from(["pass", "alert", "pending"]),
    score=st.none(),
    decay=st.floats(0, 0.4),
    significant=st.booleans(),
    impact=st.sampled_from(["unknown", "shown", "not_shown"]),
    below_best=st.booleans(),
    reinstate=st.sampled_from(["", "1"]),
    unlearned=st.none() | st.floats(0, 4),
    probe_after=st.none() | st.sampled_from([END - HOUR, END + HOUR]),
)


@given(st.lists(records, max_size=5), records, st.integers(1, 3), st.booleans())
def test_a_cause_is_yes_exactly_when_the_trigger_finds_one(history, current, consecutive, probes):
    current = replace(current, window_end=END)
    history = [record for record in history if record.window_end < END]
    settings = Trigger(consecutive=consecutive, probes=probes)
    evidence = Evidence.of(history, current, settings, None, HOUR, {})
    names = ("consecutive", "decay", "critical_decay", "retrain_cost", "probes")
    lines = list(explain_causes(current, history, {f"trigger.{n}": getattr(settings, n) for n in names}))
    assert any(line.startswith("yes") for line in lines) == (find_cause(evidence) is not None)
    assert all(line.startswith(("yes  ", "no   ")) for line in lines)
