"""What became of each version, from recorded transitions."""

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.core.rollout import Phase, Rollout, Traffic, VersionRef, approve, begin, promote, roll_back
from homeostat.core.rollout.transitions import enter
from homeostat.ports import Event
from homeostat.rollouts.version_changes import rollout_end, version_changes
from rollout_plan import PLAN

AT = datetime(2026, 3, 2, 7, tzinfo=UTC)
V1, V2, V3 = (VersionRef(number, f"digest {number}") for number in "123")
DECIDED: dict[str, object] = {"checks": [], "tallies": {}}


class Recorder:
    """Write transitions as the ledger does, an hour apart."""

    def __init__(self, traffic=None):
        self.traffic = traffic or Traffic("pump", champion=V1, promoted_at=AT)
        self.events = [self._event("promoted", "", "test", {})]

    def _event(self, kind, reason, by, evidence):
        revision = len(getattr(self, "events", [])) + 1
        at = AT + timedelta(hours=revision - 1)
        self.traffic = self.traffic.at(revision)
        return Event("pump", revision, at, kind, reason, by, self.traffic.to_json(), evidence)

    def write(self, transition, *, by="gateway:a", decided=True):
        self.traffic = transition.traffic
        evidence = DECIDED if decided else {}
        self.events.append(self._event(str(transition.kind), transition.reason, by, evidence))
        return self

    def begin(self, ref=V2, key="run 2", **how):
        return self.write(begin(self.traffic, ref, key, PLAN, AT, **how), decided=False)

    def enter(self, phase, step=0):
        return self.write(enter(self.traffic, self.traffic.rollout, phase, AT, "next", step=step))

    def roll_back(self, reason, **how):
        return self.write(roll_back(self.traffic, reason, AT), **how)

    def changes(self):
        return version_changes(self.events)[1:]  # without the first champion

    def last(self):
        return self.changes()[-1]


def test_a_rollout_under_way_has_no_end():
    recorder = Recorder().begin().enter(Phase.SHADOW)
    assert recorder.changes() == []
    assert rollout_end(recorder.events, "run 2") is None


@pytest.mark.parametrize(
    ("phase", "reason", "stage", "said"),
    [
        (
            Phase.SHADOW,
            "divergence failed: 11 of 20 predictions differ",
            "shadow",
            "in shadow: divergence failed: 11 of 20 predictions differ (shadow.max_divergence)",
        ),
        (
            Phase.SHADOW,
            "divergence failed: 55 % differ, shadow.max_divergence is 10 %",
            "shadow",
            "in shadow: divergence failed: 55 % differ, shadow.max_divergence is 10 %",
        ),
        (
            Phase.CANARY,
            "errors failed: 3 of 3 were NaN",
            "canary",
            "in canary step 2 of 2: errors failed: 3 of 3 were NaN (rollback.error_rate)",
        ),
        (
            Phase.CANARY,
            "inconclusive after 2h, not a regression: 3 rows",
            "canary",
            "in canary step 2 of 2: inconclusive after 2h, not a regression: 3 rows (canary.min_samples)",
        ),
        (
            Phase.WAITING,
            "p99_latency failed: 300 ms",
            "canary",
            "in canary step 2 of 2: p99_latency failed: 300 ms (rollback.p99_latency_ms)",
        ),
        (
            Phase.SHADOW,
            "version 2 could not be loaded: Untrusted",
            "load",
            "before its shadow: version 2 could not be loaded: Untrusted",
        ),
    ],
)
def test_a_refusal_names_stage_setting_and_figures(phase, reason, stage, said):
    recorder = Recorder().begin().enter(phase, step=1).roll_back(reason)
    change = recorder.last()
    assert (change.version, change.rollout, change.phase) == ("2", "run 2", "rolled_back")
    assert (str(change.outcome), change.stage, change.reason) == ("refused", stage, reason)
    assert change.sentence == f"pump version 2 was refused {said}. Version 1 stays champion."
    assert change.inconclusive is reason.startswith("inconclusive")
    assert rollout_end(recorder.events, "run 2") == change


@pytest.mark.parametrize(
    ("phase", "forced", "reason", "stage", "said"),
    [
        (Phase.SHADOW, False, "odd", "shadow", "in shadow: rolled back by Anna: odd"),
        (
            Phase.WAITING,
            False,
            "odd",
            "approval",
            "at the approval: declined by Anna: odd (approval: required)",
        ),
        (
            Phase.WAITING,
            True,
            "declined by Anna",
            "approval",
            "at the approval: declined by Anna (Force always needs an approval)",
        ),
    ],
)
def test_a_persons_refusal_says_who_and_why(phase, forced, reason, stage, said):
    recorder = Recorder().begin(forced=forced).enter(phase)
    change = recorder.roll_back(reason, by="Anna", decided=False).last()
    assert change.stage == stage
    assert change.sentence == f"pump version 2 was refused {said}. Version 1 stays champion."


def test_a_first_version_that_cannot_be_loaded_leaves_nothing_to_serve():
    recorder = Recorder(Traffic("pump"))
    rollout = Rollout("run 1", V1, Phase.REGISTERED, 0, AT, PLAN)
    recorder.traffic = Traffic("pump", rollout=rollout)
    recorder.events.append(recorder._event("begun", "", "retrain", {}))
    recorder.roll_back("version 1 could not be loaded: no memory")
    (change,) = version_changes(recorder.events)
    assert change.sentence == (
        "pump version 1 was refused before its shadow: version 1 could not be loaded: no memory."
        " No version serves yet."
    )


def test_a_newer_candidate_supersedes_and_says_which():
    recorder = Recorder().begin().enter(Phase.SHADOW).begin(V3, "run 3")
    (change,) = recorder.changes()
    assert (change.version, change.rollout, str(change.outcome)) == ("2", "run 2", "superseded")
    assert change.stage == "shadow"
    assert change.sentence == (
        "pump version 2 was superseded in shadow: version 3 took its place. Version 1 stays champion."
    )


def test_promoting_the_champion_supersedes_the_candidate():
    recorder = Recorder().begin().enter(Phase.SHADOW)
    recorder.write(promote(recorder.traffic, V1, AT, "keep it"), by="Anna", decided=False)
    (change,) = recorder.changes()
    assert (str(change.outcome), change.phase) == ("superseded", "superseded")
    assert "superseded in shadow: keep it." in change.sentence


def test_a_promotion_ends_the_time_of_the_former_champion():
    recorder = Recorder().begin().enter(Phase.WAITING)
    recorder.write(approve(recorder.traffic, AT), by="Anna", decided=False)
    former, new = recorder.changes()
    assert (former.version, former.phase, former.outcome) == ("1", "former_champion", None)
    assert former.sentence == (
        "pump version 1 was champion from 2026-03-02 07:00 UTC to 2026-03-02 10:00 UTC;"
        " version 2 took its place: version 2 approved."
    )
    assert (new.version, new.phase, str(new.outcome)) == ("2", "champion", "promoted")
    assert new.sentence == "pump version 2 is champion since 2026-03-02 10:00 UTC: version 2 approved."


def test_a_champion_that_is_rolled_back_keeps_its_retrains_outcome():
    recorder = Recorder().begin().enter(Phase.CHAMPION).roll_back("champion failed: 9 of 9 were NaN")
    bad, restored = recorder.changes()[-2:]
    assert (bad.version, bad.rollout, bad.phase, bad.outcome) == ("2", "run 2", "rolled_back", None)
    assert bad.sentence.endswith(
        "and was rolled back: champion failed: 9 of 9 were NaN. Version 1 is champion again."
    )
    assert (restored.version, restored.rollout, restored.phase) == ("1", "", "champion")
    assert "is champion again since 2026-03-02 10:00 UTC" in restored.sentence
    end = rollout_end(recorder.events, "run 2")
    assert (str(end.outcome), end.stage, end.sentence) == ("promoted", "champion", bad.sentence)


def test_later_events_alone_give_the_same_later_changes():
    recorder = Recorder().begin().enter(Phase.CHAMPION).begin(V3, "run 3").enter(Phase.SHADOW)
    recorder.roll_back("divergence failed: 1 of 1")
    whole = version_changes(recorder.events)
    assert version_changes([]) == []
    for start in range(1, len(recorder.events)):
        later = version_changes(recorder.events[start:])
        assert later == whole[len(whole) - len(later) :]
    assert len(version_changes(recorder.events[-2:])) == 1
