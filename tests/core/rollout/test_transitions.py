from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from homeostat.config.errors import NoPrevious, Refused, Untrusted
from homeostat.core.rollout import (
    Phase,
    Traffic,
    VersionRef,
    approve,
    begin,
    decide_rollout,
    promote,
    roll_back,
    weights,
)
from rollout_plan import PLAN

NOW = datetime(2026, 3, 1, tzinfo=UTC)
V1, V2, V3 = VersionRef("1", "a"), VersionRef("2", "b"), VersionRef("3", "c")
SERVED = Traffic("m", 3, champion=V1)


def in_canary(traffic=SERVED, candidate=V2, step=0, **plan):
    traffic = begin(traffic, candidate, "run", replace(PLAN, **plan), NOW).traffic
    return replace(traffic, rollout=replace(traffic.rollout, phase=Phase.CANARY, step=step))


def test_a_first_version_waits_until_a_gateway_has_loaded_it():
    done = begin(Traffic("m"), V1, "run", PLAN, NOW)
    assert (done.traffic.champion, done.kind) == (None, "begun")
    assert done.reason.endswith("waits until a gateway has loaded it")
    loaded = decide_rollout(done.traffic, {}, NOW).transition
    assert (loaded.traffic.champion, loaded.traffic.previous, loaded.kind) == (V1, None, "promoted")
    assert loaded.reason == "first version: a gateway has loaded it"
    assert loaded.traffic.promoted_at == NOW


def test_a_loaded_first_version_that_needs_approval_waits_without_a_share():
    registered = begin(Traffic("m"), V1, "run", replace(PLAN, approval=True), NOW).traffic
    waiting = decide_rollout(registered, {}, NOW).transition.traffic
    assert (waiting.champion, waiting.rollout.phase) == (None, Phase.WAITING)
    assert weights(waiting)["candidate"] == 0
    assert approve(waiting, NOW).traffic.champion == V1


def test_a_first_version_that_no_gateway_serves_is_champion_at_once():
    done = begin(Traffic("m"), V1, "run", PLAN, NOW, serve=False)
    assert (done.traffic.champion, done.kind) == (V1, "promoted")


def test_a_model_that_no_gateway_serves_is_promoted_without_shadow_and_canary():
    done = begin(SERVED, V2, "run", PLAN, NOW, serve=False)
    assert (done.traffic.champion, done.traffic.previous) == (V2, V1)


@pytest.mark.parametrize("traffic", [Traffic("m"), SERVED])
def test_forced_or_approval_required_waits_without_a_share_where_nothing_can_be_compared(traffic):
    for forced, plan in ((True, PLAN), (False, replace(PLAN, approval=True))):
        waiting = begin(traffic, V2, "run", plan, NOW, forced=forced, serve=False).traffic
        assert waiting.rollout.phase is Phase.WAITING
        assert waiting.champion == traffic.champion
        assert weights(waiting)["candidate"] == 0
        assert approve(waiting, NOW).traffic.champion == V2


def test_a_repeated_task_begins_no_second_rollout():
    traffic = in_canary()
    again = begin(traffic, V2, "run", PLAN, NOW)
    assert (again.kind, again.traffic) == ("unchanged", traffic)
    assert begin(Traffic("m", champion=V1), V1, "other", PLAN, NOW).kind == "unchanged"


def test_a_newer_candidate_supersedes_and_starts_from_nothing():
    done = begin(in_canary(step=1), V3, "run-3", PLAN, NOW)
    assert weights(done.traffic)["candidate"] == 0
    assert done.traffic.rollout.candidate == V3
    assert "supersedes version 2" in done.reason
    assert "canary step 2 of 2" in done.reason


def test_a_version_with_another_digest_is_refused():
    with pytest.raises(Untrusted, match="must never change"):
        begin(SERVED, VersionRef("1", "other"), "run", PLAN, NOW)
    with pytest.raises(Untrusted):
        promote(SERVED, VersionRef("1", "other"), NOW, "by hand")


def test_a_rollback_removes_the_share_and_keeps_the_champion():
    done = roll_back(in_canary(step=1), "looks odd", NOW)
    assert weights(done.traffic) == {"candidate": 0, "control": 0, "champion": 1}
    assert done.traffic.champion == V1
    assert done.traffic.rollout.reason == "looks odd"


def test_a_rollback_that_loses_the_race_against_promotion_still_takes_effect():
    promoted = promote(in_canary(step=1), V2, NOW, "done").traffic
    after = roll_back(promoted, "abort", NOW).traffic
    assert (after.champion, after.previous) == (V1, V2)
    assert after.rollout.phase is Phase.ROLLED_BACK


def test_rollback_without_a_previous_version_is_refused_and_explained():
    with pytest.raises(NoPrevious, match="no previous version to roll back to"):
        roll_back(SERVED, "oops", NOW)


def test_rolling_back_twice_does_not_restore_the_bad_version():
    for start in (
        promote(in_canary(), V2, NOW, "done").traffic,
        Traffic("m", 1, champion=V2, previous=V1),
    ):
        once = roll_back(start, "bad answers", NOW).traffic
        assert once.champion == V1
        with pytest.raises(NoPrevious, match="was itself rolled back"):
            roll_back(once, "again", NOW)
        later = begin(once, V3, "run-3", PLAN, NOW).traffic
        aborted = roll_back(later, "bad too", NOW).traffic
        with pytest.raises(NoPrevious):
            roll_back(aborted, "again", NOW)


def test_a_manual_promotion_supersedes_and_keeps_the_previous_version():
    done = promote(in_canary(step=1), V3, NOW, "asked for in MLflow")
    assert (done.traffic.champion, done.traffic.previous) == (V3, V1)
    assert done.traffic.active is None
    assert "supersedes version 2" in done.reason
    assert promote(done.traffic, V3, NOW, "again").kind == "unchanged"


def test_promoting_the_champion_ends_the_candidates_rollout():
    done = promote(in_canary(step=1), V1, NOW, "stay with 1")
    assert done.traffic.champion == V1
    assert weights(done.traffic)["candidate"] == 0


def test_an_early_approval_is_kept_until_the_canary_has_passed():
    done = approve(in_canary(approval=True), NOW)
    assert done.traffic.rollout.approved
    assert done.traffic.champion == V1
    assert approve(done.traffic, NOW).kind == "unchanged"


def test_approving_without_a_rollout_is_refused():
    with pytest.raises(Refused, match="no rollout is under way"):
        approve(SERVED, NOW)
