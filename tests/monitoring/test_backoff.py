"""The back-off says what became of the retrains of earlier windows, in Airflow and in the Lambda function."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters import LedgerSnapshot
from homeostat.core.rollout import Phase
from homeostat.monitoring.drift_check import check_drift
from homeostat.retraining.assemble import assemble
from homeostat.retraining.gate import gate
from homeostat.retraining.train import train
from homeostat.retraining.validate_on_holdout import validate
from homeostat.rollouts.advance import advance
from homeostat.rollouts.lifecycle import finalize
from homeostat.rollouts.manual import manual_promote, manual_rollback
from homeostat.storage.model_state import publish_state
from homeostat.storage.retrain_request import RetrainRequest, run_key
from sample_model import T0, notices, retrain, rows_between, serve

pytestmark = pytest.mark.usefixtures("quick")
HOUR = timedelta(hours=1)


def check(config, ports, hours):
    ports.clock.advance(max(T0 + hours * HOUR - ports.clock.now(), 0 * HOUR))
    return check_drift(config, ports, T0 + hours * HOUR)


def request_for(event, **params):
    name = f"run of {event['window_end']}"
    return RetrainRequest.of(run_key=run_key("sample", name), dag_run=name, params=params, event=event)


def refuse_at_gate(config, ports, event):
    """Train a model that predicts one class only."""
    request = request_for(event, pipeline="pipeline.py:constant")
    assemble(config, request, ports)
    for step in (train, validate, gate):
        result = step(config, request.run_key, ports)
    assert not result["proceeds"]


def roll_back_in_shadow(config, ports, event):
    begun = retrain(config, ports, request_for(event), to_the_end=False)
    state = advance("sample", ports.ledger, by="g1", now=ports.clock.now(), candidate_ready=True).traffic
    assert state.active.phase is Phase.SHADOW
    manual_rollback("sample", ports.ledger, reason="no", by="a person", at=ports.clock.now())
    finalize(config, begun["run_key"], ports)


def promote_and_roll_back(config, ports, event):
    begun = retrain(config, ports, request_for(event), to_the_end=False)
    manual_promote(config, ports, begun["version"], by="a person", reason="-")
    finalize(config, begun["run_key"], ports)
    ports.clock.advance(HOUR / 2)
    manual_rollback("sample", ports.ledger, reason="worse", by="a person", at=ports.clock.now())


@pytest.fixture
def decayed(config, ports, champion):
    """The concept has turned: each window asks for a retrain."""
    serve(config, ports, rows_between(T0, T0 + 40 * HOUR, flip=True))


def test_the_sentence_and_the_notice_say_how_the_last_retrains_ended(config, ports, decayed):
    first = check(config, ports, 5)
    assert first["fired"]
    refuse_at_gate(config, ports, first)
    second = check(config, ports, 11)
    assert second["fired"], "one refusal: the wait is as long as the cooldown"
    roll_back_in_shadow(config, ports, second)
    ports.notifier.sent.clear()
    waits = check(config, ports, 18)
    assert (waits["fired"], waits["reason"]) == (False, "backing_off")
    says = "The last 2 retrains brought no new champion: 1 refused by the gate, 1 refused in shadow. "
    assert says + "The next retrain may start from 2026-03-02 23:00 UTC" in waits["sentence"]
    assert notices(ports) == ["backing_off"]
    assert says in ports.notifier.sent[-1][1].body
    assert check(config, ports, 23)["fired"]


def test_a_version_that_was_rolled_back_later_is_no_success(config, ports, decayed):
    refuse_at_gate(config, ports, check(config, ports, 5))
    promote_and_roll_back(config, ports, check(config, ports, 11))
    waits = check(config, ports, 18)
    assert waits["reason"] == "backing_off"
    assert (
        "brought no champion that stayed: 1 refused by the gate, 1 rolled back after the promotion."
        in waits["sentence"]
    )


def test_the_lambda_function_decides_the_same(config, ports, decayed):
    refuse_at_gate(config, ports, check(config, ports, 5))
    promote_and_roll_back(config, ports, check(config, ports, 11))
    publish_state(config, ports)
    ledger = LedgerSnapshot(ports.store)
    in_lambda = check(config, replace(ports, ledger=ledger, loads_models=False), 18)
    in_airflow = check(config, ports, 18)
    same = ("reason", "sentence", "fired")
    assert {name: in_lambda[name] for name in same} == {name: in_airflow[name] for name in same}


def test_a_window_that_is_checked_again_later_gives_the_same_decision(config, ports, decayed):
    event = check(config, ports, 5)
    before = {hours: check(config, ports, hours) for hours in (6, 7)}
    refuse_at_gate(config, ports, event)
    ports.clock.advance(3 * HOUR)
    for hours, found in before.items():
        again = check(config, ports, hours)
        assert (again["fired"], again["reason"]) == (found["fired"], found["reason"])
    assert check(config, ports, 5)["fired"]
