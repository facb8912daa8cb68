from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from homeostat.rollout import Phase, Tally, Traffic, Verdict, VersionRef, begin, promote, watch
from rollout_plan import PLAN

NOW = datetime(2026, 3, 1, tzinfo=UTC)
V1, V2 = VersionRef("1", "a"), VersionRef("2", "b")
FRESH = promote(begin(Traffic("m", 1, champion=V1), V2, "run", PLAN, NOW).traffic, V2, NOW, "done").traffic
SOON, LATER = NOW + timedelta(minutes=1), NOW + timedelta(days=30)


def test_a_fresh_champion_that_fails_gives_way_within_a_few_answers():
    decision = watch(FRESH, Tally(answers=3, nan=3), SOON)
    assert decision.transition.kind == "rolled_back"
    assert decision.transition.traffic.champion == V1
    assert decision.transition.traffic.rollout.phase is Phase.ROLLED_BACK


def test_an_old_champion_is_not_swapped_for_three_poisoned_rows():
    assert watch(FRESH, Tally(answers=50, nan=4), LATER).transition is None
    assert watch(FRESH, Tally(answers=50, nan=4), SOON).transition is not None
    assert watch(FRESH, Tally(answers=200, errors=20), LATER).transition is not None


def test_a_champion_that_is_surely_too_slow_gives_way():
    slow = Tally(answers=200, latency=(0,) * 30 + (150,) + (0,) * 80 + (50,))
    decision = watch(FRESH, slow, SOON)
    assert decision.transition is not None
    assert "50 of 200 requests took more than 200 ms" in decision.transition.reason


def test_a_healthy_champion_stays_and_no_answers_are_no_pass():
    assert watch(FRESH, Tally(answers=500, errors=1, latency=(500,)), SOON).checks[0].verdict is Verdict.PASS
    assert watch(FRESH, Tally(), SOON).checks[0].verdict is Verdict.CONTINUE


def test_without_a_previous_version_it_stays_and_says_why():
    first = begin(Traffic("m"), V1, "run", PLAN, NOW).traffic
    decision = watch(first, Tally(answers=10, errors=10), SOON)
    assert decision.transition is None
    assert decision.checks[0].verdict is Verdict.FAIL
    assert "no previous version to roll back to" in decision.checks[0].reason


def test_two_versions_do_not_play_ping_pong():
    back = watch(FRESH, Tally(answers=3, nan=3), SOON).transition.traffic
    assert watch(back, Tally(answers=300, nan=300), SOON).transition is None


def test_a_champion_promoted_by_hand_is_watched_too():
    by_hand = promote(Traffic("m", 1, champion=V1), V2, NOW, "by hand").traffic
    assert watch(by_hand, Tally(answers=3, nan=3), SOON).transition.traffic.champion == V1


def test_a_champion_is_left_alone_while_the_next_candidate_is_judged():
    next_one = begin(FRESH, VersionRef("3", "c"), "run-3", replace(PLAN), NOW).traffic
    assert watch(next_one, Tally(answers=300, nan=300), SOON).transition is None
