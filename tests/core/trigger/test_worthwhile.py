"""Whether a retrain pays: never without observations, and the more it gains the sooner."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config.model import Trigger
from homeostat.core.trigger import (
    RetrainEnd,
    RetrainResult,
    TriggerReason,
    WindowRecord,
    decide_trigger,
    probe_wait,
    worthwhile,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SETTINGS = Trigger(consecutive=2, cooldown=DAY)
FIGURES = {
    "rate": st.floats(-0.1, 0.1),
    "z": st.floats(-5, 10),
    "cusum": st.floats(0, 10),
    "gap": st.floats(0, 100),
}


def decide(rate=0.02, z=3.0, cusum=0.0, gap=4.0, cost=0.005, **more):
    return worthwhile(rate=rate, z=z, cusum=cusum, gap=gap, settings=Trigger(retrain_cost=cost), **more)


def record(day, version="1", **more):
    fields = {"drift": "pass", "performance": "pass", "decay": 0.0} | more
    return WindowRecord(START + day * DAY, version, 500, drifted_share=0.1, score=None, **fields)


def test_a_retrain_must_be_worth_three_times_its_cost():
    assert decide(rate=0.00375).retrain  # 0.00375 * sqrt(4) * 4 / 2 = 0.015
    assert not decide(rate=0.00374).retrain
    assert decide(rate=0.00374, cost=0.004).retrain
    assert decide(rate=0.001, gap=26).expected_gain == pytest.approx(0.001 * math.sqrt(26))
    assert decide(rate=0.001, gap=100).retrain == (0.001 * 10 * 26 / 2 >= 0.015), "at most 26 windows"


def test_the_burden_of_proof():
    assert not decide(z=1.63).retrain
    assert decide(z=1.63).pays
    assert decide(z=1.64).retrain
    assert decide(z=0.0, cusum=2.0).retrain
    assert not decide(z=0.0, cusum=1.99).retrain


def test_other_members_are_worth_a_retrain():
    found = decide(rate=0, z=0, other_members=True)
    assert (found.retrain, found.pays) == (True, False)
    assert "other rows" in found.sentence


def test_no_observation_no_retrain():
    for cost in (0.0, 0.005):
        assert not worthwhile(rate=0, z=0, cusum=0, gap=50, settings=Trigger(retrain_cost=cost)).retrain, (
            "not even for nothing"
        )


@settings(max_examples=200, deadline=None)
@given(**FIGURES, more=st.floats(0, 5), cost=st.floats(0, 0.1))
def test_more_evidence_or_gain_never_stops_a_retrain(rate, z, cusum, gap, more, cost):
    found = decide(rate, z, cusum, gap, cost)
    assert all(
        decide(*each, cost).retrain >= found.retrain
        for each in (
            (rate + more, z, cusum, gap),
            (rate, z + more, cusum, gap),
            (rate, z, cusum + more, gap),
            (rate, z, cusum, gap + more),
        )
    )
    assert found.retrain >= decide(rate, z, cusum, gap, cost + more).retrain
    assert found.sentence.endswith(".")
    assert f"{found.expected_gain:.4f}" in found.sentence


# The cause


def test_a_probe_is_due_with_two_windows_of_new_labels():
    found = [decide_trigger([], record(0, unlearned=n), SETTINGS) for n in (None, 0, 1, 2, 9.5)]
    assert [each.fire for each in found] == [False, False, False, True, True]
    assert found[-1].reason == TriggerReason.PROBE_DUE
    assert "9.5 windows" in found[-1].sentence


def test_without_probes_only_other_causes_fire():
    without = SETTINGS.model_copy(update={"probes": False})
    assert not decide_trigger([], record(0, unlearned=9), without).fire
    decays = {"performance": "alert", "decay": 0.12, "significant": True}
    assert decide_trigger([], record(0, unlearned=9, **decays), without).reason == "performance_decay"


def test_it_waits_after_the_last_probe():
    waits = record(3, unlearned=5, probe_after=START + 4 * DAY)
    assert not decide_trigger([], waits, SETTINGS).fire
    assert decide_trigger([], replace(waits, window_end=START + 4 * DAY), SETTINGS).fire
    assert [probe_wait(z) for z in (0.0, 1.63, 1.64)] == [2, 2, 1]


def test_the_record_may_expect_that_a_retrain_pays():
    known = {"unlearned": 4.0, "ageing_rate": 0.02, "ageing_z": 3.0, "ageing_cusum": 0.0}
    found = decide_trigger([], record(0, **known), SETTINGS)
    assert (found.fire, found.reason) == (True, TriggerReason.RETRAINING_PAYS)
    assert "0.0400 per window" in found.sentence
    assert "3.0 standard errors" in found.sentence
    assert decide_trigger([], record(0, **known | {"ageing_rate": 0.0}), SETTINGS).reason == "probe_due"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"performance": "alert", "decay": 0.5}, "performance_decay_critical"),
        ({"performance": "alert", "decay": 0.12, "significant": True}, "performance_decay"),
        ({"below_best": True}, "below_best"),
        ({"reinstate": "7"}, "former_version_fits"),
        ({}, "probe_due"),
    ],
)
def test_it_is_the_last_cause(more, reason):
    assert decide_trigger([], record(0, unlearned=3, **more), SETTINGS).reason == reason


def test_other_causes_wait_for_the_next_probe_too_but_critical_decay_does_not():
    decays = {"performance": "alert", "decay": 0.12, "significant": True}
    soon = decide_trigger([], record(0, unlearned=4, probe_after=START + DAY, **decays), SETTINGS)
    assert (soon.fire, soon.reason) == (False, "too_early")
    assert "Decay 0.120" in soon.sentence
    for known in ({"unlearned": 1}, {"unlearned": 4, "probe_after": START + DAY}, {}):
        assert decide_trigger([], record(0, **known, **decays | {"decay": 0.5}), SETTINGS).fire
    for few in ({}, {"unlearned": 1, "probe_after": START + DAY}):
        assert decide_trigger([], record(0, **few, **decays), SETTINGS).fire, "no probe could be compared"


# A retrain that ended after its probe


def test_it_holds_nothing_back():
    fired = record(0, fired=True, reason="probe_due")
    ended = {START: RetrainEnd(RetrainResult.NOT_WORTHWHILE, START)}
    drifts = record(1, drift="alert", performance="alert", decay=0.5)
    held = decide_trigger([fired], drifts, Trigger(cooldown=9 * DAY), retrains={})
    assert held.reason == "cooldown_active"
    free = decide_trigger(
        [fired], drifts, Trigger(cooldown=9 * DAY), retrains=ended, min_retrain_interval=9 * DAY
    )
    assert free.fire


def test_it_does_not_back_off_and_does_not_end_a_back_off():
    ends = [*[RetrainResult.GATE] * 2, *[RetrainResult.NOT_WORTHWHILE] * 3]
    history = [record(day, fired=True, reason="probe_due", unlearned=9) for day in range(5)]
    retrains = {START + day * DAY: RetrainEnd(each, START + day * DAY) for day, each in enumerate(ends)}
    setting = Trigger(consecutive=1, cooldown=timedelta(0))
    now = record(5, unlearned=9)
    found = decide_trigger(history, now, setting, min_retrain_interval=6 * DAY, retrains=retrains)
    assert (found.reason, found.cooldown_until) == ("backing_off", START + 7 * DAY), "since the last refusal"
    assert decide_trigger(
        history,
        replace(now, window_end=START + 7 * DAY),
        setting,
        min_retrain_interval=6 * DAY,
        retrains=retrains,
    ).fire
    probes = {end: each for end, each in retrains.items() if end > START + DAY}
    assert decide_trigger(history[2:], now, setting, min_retrain_interval=6 * DAY, retrains=probes).fire


def test_its_outcome_is_read():
    assert RetrainEnd.from_json({"outcome": "not_worthwhile", "stage": "probe"}) == RetrainEnd(
        RetrainResult.NOT_WORTHWHILE
    )
