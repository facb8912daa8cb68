from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.core.rollout import (
    HealthVerdict,
    Phase,
    Tally,
    Traffic,
    VersionRef,
    begin,
    champion_watch,
    promote,
)
from homeostat.core.rollout.champion_watch import FORMER, SPANS, epochs, needed
from homeostat.core.rollout.health.sequential import log_e_above_limit
from homeostat.rollouts.advance import champion_evidence
from rollout_plan import PLAN

NOW = datetime(2026, 3, 1, 9, 20, tzinfo=UTC)
V1, V2 = VersionRef("1", "a"), VersionRef("2", "b")
FRESH = promote(begin(Traffic("m", 1, champion=V1), V2, "run", PLAN, NOW).traffic, V2, NOW, "done").traffic
SOON, LATER = NOW + timedelta(minutes=1), NOW + timedelta(days=30)


def did(**counts):
    """The same in the hour as in the day."""
    return {(name, "champion"): Tally(**counts) for name in SPANS}


def test_a_new_champion_that_fails_is_rolled_back_within_a_few_rows():
    decision = champion_watch(FRESH, did(rows=3, nan=3), SOON)
    assert decision.transition.kind == "rolled_back"
    assert decision.transition.traffic.champion == V1
    assert decision.transition.traffic.rollout.phase is Phase.ROLLED_BACK


def test_an_old_champion_is_not_rolled_back_for_three_poisoned_rows():
    assert champion_watch(FRESH, did(rows=50, nan=4), LATER).transition is None
    assert champion_watch(FRESH, did(rows=50, nan=4), SOON).transition is not None
    assert champion_watch(FRESH, did(rows=200, errors=30), LATER).transition is not None


def test_a_champion_that_is_significantly_too_slow_is_rolled_back():
    slow = did(rows=200, latency=(0,) * 30 + (100,) + (0,) * 80 + (100,))
    decision = champion_watch(FRESH, slow, SOON)
    assert decision.transition is not None
    assert "100 of 200 requests this hour took more than 200 ms" in decision.transition.reason


@pytest.mark.parametrize(("late", "stays"), [(100, True), (60, True), (2, False), (0, False)])
def test_a_champion_is_not_rolled_back_for_a_limit_that_the_former_exceeded_as_often(late, stays):
    """A busy machine makes both slow; if the former was fast in the canary, the fault is the champion's."""
    own = did(rows=200, latency=(0,) * 30 + (100,) + (0,) * 80 + (100,))
    canary = {FORMER: Tally(rows=200, latency=(0,) * 30 + (200 - late,) + (0,) * 80 + (late,))}
    decision = champion_watch(FRESH, own | canary, SOON)
    assert (decision.transition is None) == stays


def test_the_former_champion_s_canary_is_evidence_about_the_new_one():
    ledger, counts = MemoryLedger(), Tally(rows=5, latency=(2, 3))
    for key in (("canary:0", "control"), ("canary:1", "control"), ("canary:1", "candidate")):
        ledger.add_evidence("m", "run", "g", NOW, {key: counts})
    assert champion_evidence("m", ledger, FRESH, SOON)[FORMER] == Tally(rows=10, latency=(4, 6))


def test_a_healthy_champion_stays_and_no_evidence_is_no_pass():
    checks = champion_watch(FRESH, did(rows=500, errors=1, latency=(500,)), SOON).checks
    assert [check.verdict for check in checks] == [HealthVerdict.PASS, HealthVerdict.PASS]
    assert {check.verdict for check in champion_watch(FRESH, {}, SOON).checks} == {HealthVerdict.CONTINUE}


def test_a_slow_decay_in_little_traffic_shows_in_the_day_and_not_in_the_hour():
    evidence = {
        ("champion:hour", "champion"): Tally(rows=20, errors=1),
        ("champion:day", "champion"): Tally(rows=480, errors=30),
    }
    decision = champion_watch(FRESH, evidence, LATER)
    assert decision.transition is not None
    assert "this day" in decision.transition.reason


def test_without_a_previous_version_the_champion_stays_and_the_check_says_why():
    first = begin(Traffic("m"), V1, "run", PLAN, NOW, serve=False).traffic
    decision = champion_watch(first, did(rows=10, errors=10), SOON)
    assert decision.transition is None
    assert decision.checks[0].verdict is HealthVerdict.FAIL
    assert "no previous version to roll back to" in decision.checks[0].reason


def test_a_restored_champion_is_not_watched():
    back = champion_watch(FRESH, did(rows=3, nan=3), SOON).transition.traffic
    assert epochs(back, SOON) == {}
    assert champion_watch(back, did(rows=300, nan=300), SOON).transition is None


def test_a_manually_promoted_champion_is_watched():
    by_hand = promote(Traffic("m", 1, champion=V1), V2, NOW, "by hand").traffic
    assert champion_watch(by_hand, did(rows=3, nan=3), SOON).transition.traffic.champion == V1


def test_the_champion_is_not_watched_during_a_rollout():
    next_one = begin(FRESH, VersionRef("3", "c"), "run-3", replace(PLAN), NOW).traffic
    assert champion_watch(next_one, did(rows=300, nan=300), SOON).transition is None


def test_epochs_are_whole_hours_and_days_and_begin_no_earlier_than_the_promotion():
    assert epochs(FRESH, SOON) == {"champion:hour": NOW, "champion:day": NOW}
    later = datetime(2026, 3, 4, 11, 45, tzinfo=UTC)
    assert epochs(FRESH, later) == {
        "champion:hour": datetime(2026, 3, 4, 11, tzinfo=UTC),
        "champion:day": datetime(2026, 3, 4, tzinfo=UTC),
    }


def test_the_counts_of_an_epoch_come_from_the_ledger():
    ledger, later = MemoryLedger(), datetime(2026, 3, 4, 11, 45, tzinfo=UTC)
    for hours in (1, 3, 24):
        at = later - timedelta(hours=hours - 1, minutes=1)
        ledger.add_evidence("m", "run", "g", at, {("champion", "champion"): Tally(rows=hours)})
    found = champion_evidence("m", ledger, FRESH, later)
    assert {name: tally.rows for (name, _), tally in found.items()} == {
        "champion:hour": 1,
        "champion:day": 4,
    }


def test_false_alarms_are_as_rare_as_promised_over_a_long_time():
    # A year's guarantee, made 730 times as often, so that there are alarms to count; evaluated six times
    # an hour, always exactly at the limit.
    rng, limit, evaluations, hours = np.random.default_rng(1), 0.01, 6, 24 * 180
    once_in = timedelta(hours=12)
    enough, alarms = needed(SPANS["champion:hour"], once_in), 0
    for _ in range(hours):
        bad = np.cumsum(rng.binomial(40, limit, evaluations))
        alarms += any(log_e_above_limit(int(k), 40 * (i + 1), limit) >= enough for i, k in enumerate(bad))
    assert 0 < alarms <= timedelta(hours=hours) / once_in / 4  # one of four tests


def test_a_champion_that_goes_bad_is_rolled_back_within_the_hour():
    rng, caught = np.random.default_rng(2), 0
    for _ in range(50):
        bad = int(rng.binomial(600, 0.05))
        caught += champion_watch(FRESH, did(rows=600, errors=bad), LATER).transition is not None
    assert caught == 50
