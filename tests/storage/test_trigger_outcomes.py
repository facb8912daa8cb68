"""The outcome of a window's retrain is found by the window, with the rollback that followed its promotion."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters import LedgerSnapshot
from homeostat.core.rollout import EventKind, Phase, Traffic, VersionRef, begin, promote, roll_back
from homeostat.core.rollout.transitions import enter
from homeostat.core.trigger import RetrainEnd, RetrainResult, WindowRecord
from homeostat.storage.champion_history import rollback_times
from homeostat.storage.model_state import publish_state
from homeostat.storage.trigger_outbox import trigger_id, unsent_triggers, write_receipt
from homeostat.storage.trigger_outcomes import past_retrains, save_trigger_outcome
from rollout_plan import PLAN
from sample_model import T0

HOUR = timedelta(hours=1)


def window(hour, *, fired=True):
    record = WindowRecord(T0 + hour * HOUR, "1", 500, "alert", 0.5, "pending", None, None)
    return replace(record, fired=fired, reason="harmful_drift" if fired else "building")


def outcome(hour, word="refused", stage="gate", *, model="sample", **more):
    return {
        "outcome": word,
        "stage": stage,
        "sentence": "It was refused.",
        "trigger_id": trigger_id(model, T0 + hour * HOUR),
        "run_key": f"run{hour}",
        "at": (T0 + (hour + 1) * HOUR).isoformat(),
    } | more


def test_each_fired_window_finds_the_end_of_its_own_retrain(ports):
    save_trigger_outcome(ports.store, "sample", outcome(0))
    save_trigger_outcome(
        ports.store, "sample", outcome(2, "refused", "shadow", version="4", inconclusive=True)
    )
    save_trigger_outcome(ports.store, "sample", outcome(3))
    save_trigger_outcome(ports.store, "other", outcome(1, model="other"))
    history = [window(0), window(1), window(2), window(3, fired=False)]
    assert past_retrains(ports, "sample", history) == {
        T0: RetrainEnd(RetrainResult.GATE, T0 + HOUR),
        T0 + 2 * HOUR: RetrainEnd(RetrainResult.INCONCLUSIVE, T0 + 3 * HOUR, "4"),
    }
    assert past_retrains(ports, "sample", [window(3, fired=False)]) == {}


@pytest.mark.parametrize("trigger", ["manual/0a1b2c", "backtest/first", "", "sample/first", "sample/"])
def test_a_retrain_that_no_window_fired_for_is_not_stored(ports, trigger):
    save_trigger_outcome(ports.store, "sample", outcome(0, trigger_id=trigger))
    assert ports.store.list("triggers") == []


def test_the_time_zone_of_a_trigger_does_not_matter(ports):
    save_trigger_outcome(ports.store, "sample", outcome(0, trigger_id="sample/2026-03-02T01:00:00+01:00"))
    assert list(past_retrains(ports, "sample", [window(0)])) == [T0]


def test_a_duplicate_that_was_superseded_does_not_replace_the_retrain(ports):
    duplicate = outcome(0, "superseded", "lease", run_key="copy")
    save_trigger_outcome(ports.store, "sample", duplicate)
    assert past_retrains(ports, "sample", [window(0)])[T0].result is RetrainResult.SUPERSEDED
    save_trigger_outcome(ports.store, "sample", outcome(0))
    save_trigger_outcome(ports.store, "sample", duplicate)
    assert past_retrains(ports, "sample", [window(0)])[T0].result is RetrainResult.GATE


def test_an_end_that_is_recorded_again_keeps_its_time_and_a_new_end_replaces_it(ports):
    failed = outcome(0, "failed", "train")
    save_trigger_outcome(ports.store, "sample", failed)
    save_trigger_outcome(ports.store, "sample", failed | {"at": (T0 + 9 * HOUR).isoformat()})
    assert past_retrains(ports, "sample", [window(0)])[T0].at == T0 + HOUR
    save_trigger_outcome(ports.store, "sample", outcome(0, "promoted", "champion", at=None))
    assert past_retrains(ports, "sample", [window(0)])[T0] == RetrainEnd(RetrainResult.PROMOTED)


def test_an_outcome_of_another_release_is_unknown(ports):
    save_trigger_outcome(ports.store, "sample", outcome(0, "a word of tomorrow"))
    assert past_retrains(ports, "sample", [window(0)]) == {}


def test_outcomes_are_no_receipts(ports):
    save_trigger_outcome(ports.store, "sample", outcome(0))
    assert unsent_triggers(ports.store, "sample", [window(0)]) == [window(0)]
    write_receipt(ports.store, "sample", window(0), T0)
    assert unsent_triggers(ports.store, "sample", [window(0)]) == []
    raw = [json.loads(ports.store.get(key)) for key in ports.store.list("triggers/sample")]
    assert sorted("outcome" in each for each in raw) == [False, True]


# Rolled back after the promotion


class Story:
    """A ledger whose events are an hour apart."""

    def __init__(self, ports):
        self.ports, self.hour = ports, 0

    @property
    def now(self):
        return T0 + self.hour * HOUR

    def write(self, transition):
        self.hour += 1
        found = transition(self.ports.ledger.read("sample"))
        self.ports.ledger.write(found.traffic, kind=found.kind, reason=found.reason, by="test", at=self.now)

    def retrain(self, version, run_key):
        ref = VersionRef(version, f"digest {version}")
        self.write(lambda traffic: begin(traffic, ref, run_key, PLAN, self.now))
        if self.ports.ledger.read("sample").active is not None:
            self.write(lambda traffic: enter(traffic, traffic.active, Phase.CHAMPION, self.now, "passed"))

    def roll_back(self):
        self.write(lambda traffic: roll_back(traffic, "labels failed: it is worse", self.now))

    def promote(self, version):
        ref = VersionRef(version, f"digest {version}")
        self.write(lambda traffic: promote(traffic, ref, self.now, "a person"))


@pytest.fixture
def story(ports):
    return Story(ports)


def test_a_rollback_of_the_champion_is_found_by_the_retrain_that_promoted_it(story):
    story.retrain("1", "first")
    story.retrain("2", "second")
    story.retrain("3", "third")
    assert rollback_times(story.ports.ledger, "sample") == {}
    story.roll_back()
    assert rollback_times(story.ports.ledger, "sample") == {"third": story.now}
    at = story.now
    story.promote("3")
    story.retrain("4", "fourth")
    assert rollback_times(story.ports.ledger, "sample") == {"third": at}, "a successor is no rollback"


def test_a_candidate_that_was_rolled_back_was_no_champion(story):
    story.retrain("1", "first")
    ref = VersionRef("2", "digest 2")
    story.write(lambda traffic: begin(traffic, ref, "second", PLAN, story.now))
    story.roll_back()
    assert rollback_times(story.ports.ledger, "sample") == {}


def test_a_promoted_version_that_was_rolled_back_is_known_to_the_lambda_function_too(story, config):
    ports = story.ports
    story.retrain("1", "first")
    story.retrain("2", "run0")
    promoted = story.now
    story.roll_back()
    end = outcome(0, "promoted", "champion", version="2", at=promoted.isoformat())
    save_trigger_outcome(ports.store, "sample", end)
    expected = {T0: RetrainEnd(RetrainResult.PROMOTED, promoted, "2", rolled_back_at=story.now)}
    assert past_retrains(ports, "sample", [window(0)]) == expected
    publish_state(config, ports)
    lambda_ports = replace(ports, ledger=LedgerSnapshot(ports.store))
    assert past_retrains(lambda_ports, "sample", [window(0)]) == expected


def test_an_old_ledger_without_a_rollout_is_read(ports):
    for version in ("1", "2"):
        traffic = ports.ledger.read("sample")
        champion = VersionRef(version, f"digest {version}")
        state = replace(traffic, champion=champion, previous=traffic.champion, promoted_at=T0)
        ports.ledger.write(state, kind=EventKind.PROMOTED, reason="-", by="test", at=T0)
    swapped = Traffic("sample", 2, VersionRef("1", "digest 1"), VersionRef("2", "digest 2"), None, T0)
    ports.ledger.write(swapped, kind=EventKind.ROLLED_BACK, reason="-", by="test", at=T0)
    assert rollback_times(ports.ledger, "sample") == {}
