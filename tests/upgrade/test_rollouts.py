"""The rollouts that release 0.1 left under way go on from where they stopped."""

from dataclasses import asdict
from datetime import timedelta

import pytest

from homeostat.core.rollout import HealthCheckName, HealthVerdict
from homeostat.rollouts.advance import advance
from homeostat.rollouts.alias_sync import sync_aliases
from homeostat.rollouts.lifecycle import finalize, rollout_status
from homeostat.rollouts.manual import manual_approve, manual_rollback
from upgrade.installation import HOUR, MIDNIGHT, MINUTE, MODELS, NOW, expected_next
from upgrade.renamed import NEW_IN_STATUS, assert_same, numbers, without

AFTER_THE_LAST_STEP = MIDNIGHT + 20 * HOUR + MINUTE


def last_step(copy, model):
    """Return the newest event, in the form of the record."""
    event = copy.ports.ledger.events(model)[-1]
    checks = event.evidence.get("checks") or ()
    return {
        "kind": event.kind,
        "reason": event.reason,
        "by": event.by,
        "checks": {check["name"]: [check["verdict"], check["reason"]] for check in checks},
        "traffic": copy.ports.ledger.read(model).to_json(),
    }


def test_within_the_canary_step_nothing_changes(copy):
    result = advance("pump", copy.ports.ledger, by="airflow", now=MIDNIGHT + 19 * HOUR + 40 * MINUTE)
    assert result.transition is None
    assert_same(result.traffic.to_json(), expected_next("pump_stays", "traffic"))


def test_after_the_last_canary_step_the_candidate_is_promoted(copy):
    result = advance("pump", copy.ports.ledger, by="airflow", now=AFTER_THE_LAST_STEP)
    assert result.transition is not None
    found, expected = last_step(copy, "pump"), expected_next("pump_is_promoted")
    for name, (verdict, reason) in expected["checks"].items():
        assert found["checks"][name][0] == verdict == HealthVerdict.PASS
        assert set(numbers(reason)) <= set(numbers(found["checks"][name][1])), name
    new = {HealthCheckName.LABELS}
    assert found["checks"].keys() - new == expected["checks"].keys()
    assert_same(without(found, {"checks"}), without(expected, {"checks"}))


def test_a_person_rolls_the_candidate_back(copy):
    manual_rollback("pump", copy.ports.ledger, reason="not today", by="command line (ann)", at=NOW)
    assert_same(last_step(copy, "pump"), expected_next("pump_is_rolled_back"))


def test_a_person_approves_the_waiting_candidate(copy):
    manual_approve(copy.configs["tide"], copy.ports, by="ann in Airflow")
    assert_same(last_step(copy, "tide"), expected_next("tide_is_approved"))


def test_a_waiting_rollout_that_was_notified_is_not_notified_again(copy):
    rollout = copy.ports.ledger.read("tide").rollout
    status = rollout_status(copy.configs["tide"], rollout.id, copy.ports)
    status = without(status, {"url", "sentence"} | NEW_IN_STATUS)
    assert_same(status, without(expected_next("tide_is_looked_at", "look")))
    assert copy.notices() == expected_next("tide_is_looked_at", "notices") == []


@pytest.mark.parametrize(
    ("case", "model", "trigger", "holder"),
    [
        ("answered", "pump", "pump/2026-03-02T07:00:00+00:00", "somebody-else"),
        ("under way", "pump", "pump/2026-03-02T20:00:00+00:00", "somebody-else"),
        ("the same holder", "pump", "hand/4da908f0bc71", "4da908f0bc71"),
        ("free", "tide", "tide/2026-03-02T20:00:00+00:00", "somebody-else"),
    ],
)
def test_leases_and_handled_triggers_still_hold(copy, case, model, trigger, holder):
    found = asdict(copy.ports.ledger.acquire_lease(model, trigger, holder, NOW, timedelta(days=1)))
    expected = expected_next("triggers_again", case)
    assert_same(without(found, {"reason"}), without(expected, {"reason"}))


def test_a_retrain_keeps_its_lease_though_its_trigger_is_called_manual_today(copy):
    holder = "4da908f0bc71"
    found = copy.ports.ledger.acquire_lease("pump", f"manual/{holder}", holder, NOW, timedelta(days=1))
    assert (found.granted, found.holder) == (True, holder)


def test_a_promoted_retrain_is_finalized(copy_in_mlflow):
    copy = copy_in_mlflow
    copy.clock.set(AFTER_THE_LAST_STEP)
    key = advance("pump", copy.ports.ledger, by="airflow", now=AFTER_THE_LAST_STEP).traffic.rollout.id
    status = finalize(copy.configs["pump"], key, copy.ports)
    registry, expected = copy.ports.registry, expected_next("pump_is_settled")
    assert_same(without(status, {"url", "sentence"} | NEW_IN_STATUS), without(expected["settled"]))
    assert_same(registry.aliases("pump"), expected["aliases"])
    new = {"homeostat.outcome", "homeostat.phase_reason"}
    tags = without(registry.version("pump", "3").tags, new)
    assert_same(tags, expected["tags_of_version_3"])
    assert_same(copy.notices(), without(expected["notices"]))
    assert copy.ports.ledger.lease_holder("pump", AFTER_THE_LAST_STEP) == expected["holder"] is None


def test_a_retrain_that_was_finalized_is_not_notified_again(copy_in_mlflow):
    copy = copy_in_mlflow
    status = finalize(copy.configs["pump"], "98f9c3c145ba", copy.ports)
    assert status["phase"] == "champion"
    assert copy.notices() == []


@pytest.mark.parametrize("model", MODELS)
def test_aliases_need_no_sync(copy_in_mlflow, model):
    found = sync_aliases(copy_in_mlflow.configs[model], copy_in_mlflow.ports)
    assert found == expected_next("nothing_is_mirrored", model) == {}
