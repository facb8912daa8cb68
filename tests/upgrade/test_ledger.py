"""Release 0.1's ledger: states, events, evidence, leases; and the decisions that rest on them."""

from dataclasses import replace

import pytest

from homeostat.core.rollout import EventKind, Phase, Traffic, evidence_json, promote, recompute, recompute_all
from upgrade.installation import HOUR, MIDNIGHT, MODELS, NOW, expected_read
from upgrade.renamed import TALLY, assert_same, renamed

RECOMPUTED = ("revision", "kind", "decided", "agrees")


def event_json(event):
    """Return an event in the form of the record."""
    rollout = event.traffic["rollout"]
    return {
        "revision": event.revision,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "reason": event.reason,
        "by": event.by,
        "phase": rollout["phase"] if rollout else None,
        "champion": (event.traffic["champion"] or {}).get("version"),
        "checks": {check["name"]: check["verdict"] for check in event.evidence.get("checks") or ()},
        "tallies": sorted(event.evidence.get("tallies") or ()),
    }


def rollouts_of(events):
    """Return the ids of all rollouts, in order."""
    return list(dict.fromkeys(event.traffic["rollout"]["id"] for event in events if event.traffic["rollout"]))


@pytest.mark.parametrize("model", MODELS)
def test_the_state_is_read_unchanged(recorded, model):
    assert_same(recorded.ports.ledger.read(model).to_json(), expected_read(model, "ledger", "traffic"))


@pytest.mark.parametrize("model", MODELS)
def test_every_event_is_read_unchanged(recorded, model):
    events = recorded.ports.ledger.events(model)
    assert_same([event_json(event) for event in events], expected_read(model, "ledger", "events"))


def test_the_record_has_every_kind_of_event_and_every_phase(recorded):
    events = [event for model in MODELS for event in recorded.ports.ledger.events(model)]
    assert {EventKind(event.kind) for event in events} == set(EventKind) - {EventKind.UNCHANGED}
    states = [Traffic.from_json(dict(event.traffic)) for event in events]
    assert {state.rollout.phase for state in states if state.rollout} == set(Phase)


@pytest.mark.parametrize("model", MODELS)
def test_every_recorded_step_is_decided_the_same(recorded, model):
    steps = recompute_all(model, recorded.ports.ledger.events(model))
    found = [{name: getattr(step, name) for name in RECOMPUTED} for step in steps]
    expected = [
        {name: step[name] for name in RECOMPUTED} for step in expected_read(model, "ledger", "recompute")
    ]
    assert [step.difference for step in steps] == [""] * len(steps)
    assert_same(found, expected)


def test_a_promotion_that_superseded_a_canary_is_recomputed(recorded):
    """The record has none. Release 0.1 named the stage in its reason as below."""
    canary, begun = recorded.ports.ledger.events("tide")[12:14]
    before = Traffic.from_json(dict(canary.traffic))
    promoted = promote(before, before.previous, begun.at, "by hand").traffic.at(begun.revision).to_json()
    reason = f"by hand; supersedes version 4 ({before.rollout.id}), which was in canary:0"
    promoted["rollout"] |= {"id": f"by-hand-1-{begun.at.isoformat()}", "reason": reason}
    event = replace(begun, kind="promoted", reason=reason, by="command line (ann)", traffic=promoted)
    assert recompute(before, event).difference == ""


@pytest.mark.parametrize("model", MODELS)
def test_the_evidence_of_every_rollout_adds_up_to_the_same_counts(recorded, model):
    ledger = recorded.ports.ledger
    found = {}
    for rollout in rollouts_of(ledger.events(model)):
        tallies = ledger.evidence(model, rollout)
        if tallies:
            found[rollout] = evidence_json(tallies)
    assert_same(found, renamed(expected_read(model, "ledger", "evidence"), TALLY))


@pytest.mark.parametrize("model", MODELS)
def test_evidence_since_a_time_is_that_of_the_seconds_after_it(recorded, model):
    ledger = recorded.ports.ledger
    rollout = ledger.read(model).active
    since = ledger.evidence(model, rollout.id, MIDNIGHT + 18 * HOUR) if rollout else {}
    found = {key: tally["rows"] for key, tally in evidence_json(since).items()}
    assert_same(found, expected_read(model, "ledger", "evidence_since_18h"))


@pytest.mark.parametrize("model", MODELS)
def test_the_lease_is_held_by_the_same_retrain(recorded, model):
    assert recorded.ports.ledger.lease_holder(model, NOW) == expected_read(model, "ledger", "holder")
