"""Decay of a slice fires at once, after decay of the whole, and waits as critical decay does."""

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.config.model import Trigger
from homeostat.core.trigger import RetrainEnd, RetrainResult, WindowRecord, decide_trigger

START, HOUR = datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1)
SETTINGS = Trigger(consecutive=3, cooldown=6 * HOUR)
DECAYED = {"decayed_slices": {"region=north": 0.31, "plan=plus": 0.2}}


def record(hour, **more):
    fields = {"drift": "pass", "performance": "pass", "decay": 0.01} | more
    return WindowRecord(START + hour * HOUR, "1", 500, drifted_share=0.0, score=0.9, **fields)


def decide(current, history=(), **more):
    return decide_trigger(history, current, SETTINGS, min_retrain_interval=6 * HOUR, **more)


def test_it_fires_at_once_and_names_the_slices_the_worst_first():
    found = decide(record(1, **DECAYED))
    assert (found.fire, found.reason) == (True, "slice_decay")
    assert "in slice region=north (decay 0.310), slice plan=plus (decay 0.200)" in found.sentence


@pytest.mark.parametrize("performance", ["pass", "pending", "not_computable"])
def test_it_needs_no_verdict_on_the_whole(performance):
    assert decide(record(1, performance=performance, decay=None, **DECAYED)).reason == "slice_decay"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"performance": "alert", "decay": 0.2}, "performance_decay_critical"),
        ({"performance": "alert", "decay": 0.12, "significant": True}, "performance_decay"),
        ({"reinstate": "7"}, "former_version_fits"),
        ({"below_best": True}, "slice_decay"),
        ({"drift": "alert", "impact": "shown"}, "slice_decay"),
        ({"unlearned": 5.0}, "slice_decay"),
    ],
)
def test_decay_of_the_whole_comes_first(more, reason):
    assert decide(record(1, **DECAYED | more)).reason == reason


def test_it_holds_its_cooldown_and_does_not_wait_for_a_probe():
    fired = record(1, fired=True, reason="slice_decay", **DECAYED)
    assert decide(record(3, **DECAYED), [fired]).reason == "cooldown_active"
    waiting = {"unlearned": 3.0, "probe_after": START + 99 * HOUR}
    assert decide(record(3, **DECAYED | waiting)).fire


@pytest.mark.parametrize(("refusals", "wait"), [(1, 6), (2, 12), (3, 24)])
def test_the_wait_doubles_with_each_refusal(refusals, wait):
    fired = [record(hour, fired=True, reason="slice_decay", **DECAYED) for hour in range(refusals)]
    retrains = {each.window_end: RetrainEnd(RetrainResult.GATE) for each in fired}
    last = refusals - 1
    early = decide(record(last + wait - 1, **DECAYED), fired, retrains=retrains)
    assert early.reason == ("cooldown_active" if wait == 6 else "backing_off")
    assert decide(record(last + wait, **DECAYED), fired, retrains=retrains).fire


def test_a_window_with_a_decayed_slice_is_not_calm():
    """Without a cooldown one episode fires once."""
    eager = Trigger(consecutive=3, cooldown=timedelta(0))
    fired = record(1, fired=True, reason="slice_decay", **DECAYED)
    still = decide_trigger([fired], record(2, **DECAYED), eager)
    assert still.reason == "same_episode"
    calm = record(2)
    assert decide_trigger([fired, calm], record(3, **DECAYED), eager).fire


def test_the_record_reads_back_and_one_of_an_earlier_release_has_none():
    found = record(1, slice_losses={"region=north": [10, 2.0, 2.0]}, **DECAYED)
    assert WindowRecord.from_json(found.to_json()) == found
    plain = record(1)
    assert {"slice_losses", "decayed_slices"}.isdisjoint(plain.to_json())
    assert WindowRecord.from_json(plain.to_json()) == plain
