from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.rollout import (
    HOLDOUT,
    LABELLED_PAIRS,
    HealthVerdict,
    Phase,
    Plan,
    Rollout,
    Tally,
    Traffic,
    VersionRef,
    approve,
    begin,
    champion_watch,
    decide_rollout,
    evidence_from_json,
    evidence_json,
    weights,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
V1, V2 = VersionRef("1", "a"), VersionRef("2", "b")
PLAN = Plan(
    shadow=HOUR,
    max_divergence=0.1,
    shadow_min_samples=50,
    steps=(0.1, 0.5),
    step_duration=HOUR,
    min_samples=50,
    error_rate=0.01,
    p99_latency_ms=200.0,
    window=100,
    metric="accuracy",
    max_regression=0.02,
)


def at(phase, step=0, *, extended=False, forced=False, approved=False, **plan):
    rollout = Rollout(
        "run",
        V2,
        phase,
        step,
        NOW,
        replace(PLAN, **plan),
        extended=extended,
        forced=forced,
        approved=approved,
    )
    return Traffic("m", 7, champion=V1, rollout=rollout)


def good(rows=500):
    tally = Tally(
        rows=rows,
        compared=rows,
        predictions=(rows // 2, rows - rows // 2),
        latency=(0,) * 50 + (rows,),
        confidence=(0,) * 40 + (rows,),
    )
    stages = ("shadow", "canary:0", "canary:1")
    variants = ("champion", "control", "candidate", "shadow")
    found = {(stage, who): tally for stage in stages for who in variants}
    return found | {HOLDOUT: Tally(compared=1000)}


def step(traffic, evidence, after):
    return decide_rollout(traffic, evidence, NOW + after).transition


def test_without_a_rollout_there_is_nothing_to_decide():
    assert decide_rollout(Traffic("m", 1, champion=V1), {}, NOW).transition is None


def test_a_healthy_candidate_is_promoted_and_no_phase_ends_early():
    traffic = begin(Traffic("m", 1, champion=V1), V2, "run", PLAN, NOW).traffic
    now, seen = NOW, []
    for _ in range(40):
        decision = decide_rollout(traffic, good(), now)
        if decision.transition:
            traffic = decision.transition.traffic
            seen.append((decision.transition.kind, traffic.rollout.stage, now - NOW))
        now += HOUR / 4
    assert seen == [
        ("shadow", "shadow", timedelta(0)),
        ("canary", "canary:0", HOUR),
        ("canary", "canary:1", 2 * HOUR),
        ("promoted", "champion", 3 * HOUR),
    ]
    assert (traffic.champion, traffic.previous, traffic.promoted_at) == (V2, V1, NOW + 3 * HOUR)


def test_shadow_is_skipped_when_requested():
    traffic = begin(Traffic("m", 1, champion=V1), V2, "run", PLAN, NOW, skip_shadow=True).traffic
    done = decide_rollout(traffic, {}, NOW).transition
    assert done.traffic.rollout.stage == "canary:0"
    assert done.traffic.rollout.share == 0.1


def test_a_failing_candidate_is_rolled_back_at_once():
    evidence = good() | {("canary:0", "candidate"): Tally(rows=4, nan=4)}
    done = decide_rollout(at(Phase.CANARY), evidence, NOW + timedelta(seconds=1))
    assert done.transition.kind == "rolled_back"
    assert done.transition.reason.startswith("errors failed: 4 of 4")
    assert weights(done.transition.traffic)["candidate"] == 0
    assert "errors" in [check.name for check in done.checks if check.verdict is HealthVerdict.FAIL]


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.CANARY])
def test_too_little_evidence_extends_once_and_is_then_inconclusive(phase):
    few = good(rows=10)
    assert step(at(phase), few, HOUR / 2) is None
    extended = step(at(phase), few, HOUR)
    assert extended.kind == "extended"
    assert extended.traffic.rollout.extended
    assert extended.traffic.rollout.entered_at == NOW
    assert step(extended.traffic, few, 1.9 * HOUR) is None
    assert step(extended.traffic, good(), 1.5 * HOUR).kind == "canary"
    ended = step(extended.traffic, few, 2 * HOUR)
    assert ended.kind == "rolled_back"
    assert ended.reason.startswith("inconclusive")
    assert "not a regression" in ended.reason
    assert "10 " in ended.reason


def test_divergence_not_shown_to_be_within_its_limit_is_inconclusive():
    doubtful = good() | {("shadow", "shadow"): replace(good()["shadow", "shadow"], diverged=55)}
    assert step(at(Phase.SHADOW), doubtful, HOUR).kind == "extended"
    ended = step(at(Phase.SHADOW, extended=True), doubtful, 2 * HOUR)
    assert ended.reason.startswith("inconclusive")
    assert "divergence" in ended.reason


def test_a_doubt_that_never_became_significant_does_not_hold_a_canary_for_ever():
    evidence = good() | {("canary:0", "candidate"): replace(good()["canary:0", "candidate"], nan=2)}
    assert step(at(Phase.CANARY), evidence, HOUR).kind == "extended"
    assert step(at(Phase.CANARY, extended=True), evidence, 1.5 * HOUR) is None
    assert step(at(Phase.CANARY, extended=True), evidence, 2 * HOUR).kind == "canary"


def test_a_new_step_may_be_extended_again():
    done = step(at(Phase.CANARY, extended=True), good(), 2 * HOUR)
    assert not done.traffic.rollout.extended
    assert done.traffic.rollout.entered_at == NOW + 2 * HOUR


def test_with_approval_a_passed_canary_waits_at_its_share():
    done = step(at(Phase.CANARY, 1, approval=True), good(), HOUR)
    assert done.traffic.rollout.phase is Phase.WAITING
    assert weights(done.traffic)["candidate"] == 0.5
    assert step(done.traffic, good(), 1000 * HOUR) is None
    promoted = approve(done.traffic, NOW + 5 * HOUR)
    assert promoted.traffic.champion == V2


def test_a_waiting_candidate_is_still_checked():
    evidence = good() | {("canary:1", "candidate"): Tally(rows=500, errors=50)}
    assert step(at(Phase.WAITING, 1, approval=True), evidence, HOUR).kind == "rolled_back"


def test_a_candidate_approved_early_is_promoted_when_its_canary_has_passed():
    assert step(at(Phase.CANARY, 1, approval=True, approved=True), good(), HOUR).kind == "promoted"


def test_a_clock_set_back_neither_shortens_nor_stops_the_rollout():
    assert step(at(Phase.CANARY), good(), -timedelta(seconds=30)) is None
    restarted = step(at(Phase.CANARY), good(), -timedelta(days=2))
    assert restarted.kind == "clock_reset"
    assert restarted.traffic.rollout.entered_at == NOW - timedelta(days=2)
    assert step(restarted.traffic, good(), -timedelta(days=2) + HOUR).kind == "canary"


def test_durations_of_seconds_work_like_hours():
    second = timedelta(seconds=1)
    assert step(at(Phase.CANARY, step_duration=3 * second), good(), 3 * second).kind == "canary"


def test_a_decision_can_be_made_again_from_its_record():
    for phase, index in ((Phase.SHADOW, 0), (Phase.CANARY, 1)):
        traffic, evidence = at(phase, index), good()
        kept = json.loads(json.dumps([traffic.to_json(), evidence_json(evidence)], allow_nan=False))
        again = decide_rollout(Traffic.from_json(kept[0]), evidence_from_json(kept[1]), NOW + HOUR)
        assert again == decide_rollout(traffic, evidence, NOW + HOUR)
        json.dumps(again.record({}), allow_nan=False)


DAY = timedelta(days=1)
CAPS = {"max_shadow": 14 * DAY, "max_step": 14 * DAY}


def shadow_rows(rows):
    return good() | {("shadow", "shadow"): Tally(rows=rows, compared=rows)}


def test_a_phase_that_lacks_rows_goes_on_until_it_has_them():
    extended = step(at(Phase.SHADOW, **CAPS), shadow_rows(5), HOUR)
    assert extended.kind == "extended"
    assert extended.reason == (
        "shadow extended: 5 rows compared with the champion, 50 needed (shadow.min_samples);"
        " at this traffic they take about 9 hours more, at most 14 days in all (shadow.max_duration)"
    )
    slow = at(Phase.SHADOW, extended=True, **CAPS)
    assert step(slow, shadow_rows(49), 13 * DAY) is None
    assert step(slow, shadow_rows(50), 13 * DAY).kind == "canary"


def test_a_phase_that_lacks_rows_at_its_cap_is_inconclusive_and_names_the_settings():
    ended = step(at(Phase.SHADOW, extended=True, **CAPS), shadow_rows(49), 14 * DAY)
    assert ended.reason == (
        "inconclusive after 14 days of shadow, not a regression: 49 rows compared with the champion,"
        " 50 needed (shadow.min_samples). Lower shadow.min_samples or raise shadow.max_duration"
    )


def test_a_step_that_would_take_longer_than_its_cap_is_skipped():
    # 39 rows a day: 10 % of them would take 51 days for 200 rows, 50 % take 10 days.
    traffic = at(Phase.SHADOW, extended=True, min_samples=200, shadow_min_samples=200, **CAPS)
    passed = step(traffic, shadow_rows(200), 200 / 39 * DAY)
    assert (passed.kind, passed.traffic.rollout.step) == ("canary", 1)
    assert "10% of 1.62 rows an hour would take longer than 14 days" in passed.reason


def test_the_last_step_is_never_skipped():
    passed = step(at(Phase.SHADOW, extended=True, **CAPS), shadow_rows(50), 14 * DAY - HOUR)
    assert passed.traffic.rollout.step == 1


SLOW = CAPS | {
    "shadow": DAY,
    "shadow_min_samples": 200,
    "min_samples": 200,
    "skip_step": 3 * DAY,
    "reverse_shadow": DAY,
}


def test_too_little_traffic_for_a_canary_promotes_after_the_shadow():
    # One row an hour: half of it would take 17 days for 200 rows.
    passed = step(at(Phase.SHADOW, extended=True, **SLOW), shadow_rows(200), 200 * HOUR)
    assert passed.kind == "promoted"
    assert passed.reason == (
        "shadow passed; 10%, 50% of 1 rows an hour would take longer than 3 days for 200 rows; no canary:"
        " the former champion stays in shadow for 7 days"
    )
    traffic = passed.traffic
    assert (traffic.champion, traffic.previous) == (V2, V1)
    assert traffic.rollout.reverse_shadow_until == NOW + 200 * HOUR + 7 * DAY
    assert Traffic.from_json(json.loads(json.dumps(traffic.to_json()))) == traffic


def test_the_hard_limit_applies_as_long_as_the_reverse_shadow_that_replaced_a_canary():
    traffic = step(at(Phase.SHADOW, extended=True, **SLOW), shadow_rows(200), 200 * HOUR).traffic
    promoted = NOW + 200 * HOUR
    bad = {("champion:hour", "champion"): Tally(rows=3, nan=3)}
    assert champion_watch(traffic, bad, promoted + 6 * DAY).transition.kind == "rolled_back"
    assert champion_watch(traffic, bad, promoted + 8 * DAY).transition is None


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"approval": True}, "a person approves what has served"),
        ({"reverse_shadow": timedelta(0)}, "nothing takes its place"),
        ({"skip_step": None}, "the rollout began under an older release"),
    ],
)
def test_the_last_step_is_not_skipped_where(more, why):
    passed = step(at(Phase.SHADOW, extended=True, **{**SLOW, **more}), shadow_rows(200), 200 * HOUR)
    assert (passed.kind, passed.traffic.rollout.step) == ("canary", 1), why


@pytest.mark.parametrize(
    ("rows", "days", "ends"),
    [(199, 2.9, False), (30, 3, True), (29, 3, False), (200, 2.9, True), (29, 30, True)],
)
def test_after_a_long_wait_few_rows_of_shadow_are_enough(rows, days, ends):
    slow = SLOW | {"shadow_wait": 3 * DAY, "max_shadow": 30 * DAY}
    done = step(at(Phase.SHADOW, extended=True, **slow), shadow_rows(rows), days * DAY)
    assert (done is not None) is ends
    if done is not None:
        assert done.kind == ("promoted" if rows >= 30 else "rolled_back")
    assert step(at(Phase.SHADOW, **slow), shadow_rows(200), DAY).kind == "canary"


def test_a_doubt_extends_a_slow_shadow_to_twice_its_rows():
    slow = SLOW | {"shadow_wait": 3 * DAY, "max_shadow": 30 * DAY}
    apart = replace(good()["shadow", "shadow"], rows=40, compared=40, diverged=6)
    doubtful = good() | {("shadow", "shadow"): apart}
    assert step(at(Phase.SHADOW, extended=True, **slow), doubtful, 4 * DAY) is None
    ended = step(at(Phase.SHADOW, extended=True, **slow), doubtful, 30 * DAY)
    assert ended.reason.startswith("inconclusive after 30 days of shadow, not a regression: divergence")


def test_a_shadow_that_lacks_rows_says_when_few_are_enough():
    extended = step(at(Phase.SHADOW, **SLOW, shadow_wait=3 * DAY), shadow_rows(20), DAY)
    assert extended.reason == (
        "shadow extended: 20 rows compared with the champion, 200 needed (shadow.min_samples); at this"
        " traffic they take about 9 days more, 30 are enough after 3 days (shadow.wait_for_samples),"
        " at most 14 days in all (shadow.max_duration)"
    )


@given(rows=st.integers(0, 2000), days=st.floats(0, 40), phase=st.sampled_from([Phase.SHADOW, Phase.CANARY]))
def test_a_phase_ends_by_its_cap(rows, days, phase):
    evidence = good() | {(stage, who): Tally(rows=rows, compared=rows) for stage, who in good()}
    traffic = at(phase, extended=True, **CAPS)
    done = step(traffic, evidence, days * DAY)
    assert done is not None or days < 14


def labelled(only_candidate, only_champion, rows=2000):
    rest = rows - only_candidate - only_champion
    return {LABELLED_PAIRS: Tally(rows=rows, losses=(rest, only_candidate, only_champion, 0))}


def test_labels_that_show_a_worse_candidate_roll_it_back_whatever_else_passes():
    for phase in (Phase.SHADOW, Phase.CANARY, Phase.WAITING):
        done = step(at(phase), good() | labelled(50, 250), timedelta(0))
        assert done.kind == "rolled_back"
        assert done.reason.startswith(
            "labels failed: on 2000 labelled requests that both predicted, accuracy 0.875 of the candidate"
            " and 0.975 of the champion: significantly worse than gate.max_regression (0.02) allows"
        )


def test_labels_that_show_a_better_candidate_settle_its_divergence():
    apart = good() | {("shadow", "shadow"): replace(good()["shadow", "shadow"], diverged=300)}
    assert step(at(Phase.SHADOW), apart, timedelta(0)).reason.startswith("divergence failed: ")
    assert step(at(Phase.SHADOW), apart | labelled(300, 100), HOUR).kind == "canary"


def test_labels_in_doubt_at_the_end_are_inconclusive():
    doubtful = good() | labelled(100, 180)
    assert step(at(Phase.CANARY), doubtful, HOUR).kind == "extended"
    ended = step(at(Phase.CANARY, extended=True), doubtful, 2 * HOUR)
    assert ended.reason.startswith(
        "inconclusive after 2 hours of canary step 1 of 2, not a regression: labels"
    )


def test_labels_that_show_a_better_candidate_need_fewer_rows():
    # One row an hour, whose labels are clear after two days: nobody waits weeks for 200 rows.
    plan = CAPS | {"shadow_min_samples": 200, "min_samples": 200}
    few, better = shadow_rows(48), labelled(30, 1, rows=48)
    assert step(at(Phase.SHADOW, **plan), few, 2 * DAY).kind == "extended"
    passed = step(at(Phase.SHADOW, **plan), few | better, 2 * DAY)
    assert (passed.kind, passed.traffic.rollout.step) == ("canary", 1)
    assert "10% of 1 rows an hour would take longer than 1 day for 30 rows" in passed.reason
    canary = good(rows=29) | better
    assert step(at(Phase.CANARY, 1, extended=True, **plan), canary, 2 * DAY) is None
    assert (
        step(at(Phase.CANARY, 1, extended=True, **plan), good(rows=30) | better, 2 * DAY).kind == "promoted"
    )
