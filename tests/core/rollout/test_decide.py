from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from homeostat.core.rollout import (
    HealthVerdict,
    Phase,
    Plan,
    Rollout,
    Tally,
    Traffic,
    VersionRef,
    approve,
    begin,
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
    return {(stage, who): tally for stage in stages for who in ("champion", "control", "candidate", "shadow")}


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
