"""The rollout driver: one function decides and writes, with one guard, for every caller."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.ledger_sql import SqlLedger
from homeostat.core.rollout import (
    CANDIDATE,
    HardFailure,
    Phase,
    Tally,
    Traffic,
    VersionRef,
    begin,
    promote,
    recompute_all,
)
from homeostat.rollouts.advance import WARM_UP, advance
from homeostat.rollouts.recording_guard import REPORT_EXPIRES, dropping_rows_report
from rollout_plan import PLAN
from sample_model import T0

M = "m"
V1, V2 = VersionRef("1", "a"), VersionRef("2", "b")


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.db")
    yield ledger
    ledger.close()


def write(ledger, step, at=T0):
    return ledger.write(step.traffic, kind=str(step.kind), reason=step.reason, by="test", at=at)


def registered(ledger):
    """A champion, and a candidate that was registered at T0 and skips its shadow."""
    write(ledger, begin(Traffic(M), V1, "run-1", PLAN, T0, serve=False))
    write(ledger, begin(ledger.read(M), V2, "run-2", PLAN, T0, skip_shadow=True))


def passed_step(ledger):
    """A candidate whose first canary step is over; returns when."""
    registered(ledger)
    assert advance(M, ledger, by="gateway:a", now=T0, candidate_ready=True).traffic.active.stage == "canary:0"
    rows = Tally(rows=300, predictions=(150, 150), latency=(0,) * 50 + (300,), confidence=(0,) * 40 + (300,))
    later = T0 + PLAN.step_duration
    ledger.add_evidence(M, "run-2", "a", later, {("canary:0", who): rows for who in (CANDIDATE, "control")})
    return later


@pytest.mark.parametrize("by", ["gateway:a", "airflow", "command line"])
def test_no_caller_advances_a_canary_while_a_gateway_drops_rows(ledger, by):
    later = passed_step(ledger)
    ledger.add_evidence(M, "run-2", "another gateway", later, dropping_rows_report())
    result = advance(M, ledger, by=by, now=later + timedelta(seconds=30))
    assert (result.transition, result.traffic.active.stage) == (None, "canary:0")
    assert "prediction log is dropping rows" in result.held
    later += REPORT_EXPIRES + timedelta(seconds=1)
    result = advance(M, ledger, by=by, now=later)
    assert (result.held, result.traffic.active.stage) == ("", "canary:1"), "the report expired"
    assert [step.sentence for step in recompute_all(M, ledger.events(M)) if not step.agrees] == []


def test_a_gateway_that_reports_again_and_again_holds_the_canary(ledger):
    later = passed_step(ledger)
    for batch in range(1, 5):
        later += REPORT_EXPIRES - timedelta(seconds=1)
        ledger.add_evidence(M, "run-2", "a", later, dropping_rows_report(), batch=batch)
        assert advance(M, ledger, by="airflow", now=later).held


def test_a_rollback_is_never_held(ledger):
    later = passed_step(ledger)
    bad = {("canary:0", CANDIDATE): Tally(rows=50, nan=50)} | dict(dropping_rows_report())
    ledger.add_evidence(M, "run-2", "a", later, bad)
    assert advance(M, ledger, by="airflow", now=later).traffic.rollout.phase is Phase.ROLLED_BACK


def test_a_registered_candidate_is_left_to_the_gateways_until_it_is_ready_or_the_warm_up_is_over(ledger):
    registered(ledger)
    before = T0 + WARM_UP - timedelta(seconds=1)
    assert advance(M, ledger, by="airflow", now=before).transition is None
    assert advance(M, ledger, by="gateway:a", now=before, candidate_ready=True).transition.kind == "canary"


def test_after_the_warm_up_a_rollout_advances_without_any_gateway(ledger):
    registered(ledger)
    assert advance(M, ledger, by="airflow", now=T0 + WARM_UP).transition.kind == "canary"


def test_a_candidate_that_cannot_be_loaded_is_rolled_back_at_once(ledger):
    registered(ledger)
    failure = HardFailure(V2, "version 2 could not be loaded: untrusted type")
    result = advance(M, ledger, by="gateway:a", now=T0, failure=failure)
    assert result.traffic.rollout.phase is Phase.ROLLED_BACK
    assert result.traffic.rollout.reason == failure.reason
    assert not result.champion_rolled_back
    assert all(step.agrees for step in recompute_all(M, ledger.events(M)))


@pytest.mark.parametrize(
    ("after", "hanging", "rolled_back"),
    [(timedelta(0), 1, True), (timedelta(days=3), 2, False), (timedelta(days=3), 3, True)],
)
def test_hanging_calls_roll_back_a_new_champion_at_once_and_an_old_one_at_the_third(
    ledger, after, hanging, rolled_back
):
    registered(ledger)
    write(ledger, promote(ledger.read(M), V2, T0, "done"))
    failure = HardFailure(V2, "version 2 hangs", hanging=hanging)
    result = advance(M, ledger, by="gateway:a", now=T0 + after, failure=failure)
    assert result.champion_rolled_back is rolled_back
    assert result.traffic.champion == (V1 if rolled_back else V2)


def test_a_champion_that_cannot_be_loaded_stays(ledger):
    registered(ledger)
    write(ledger, promote(ledger.read(M), V2, T0, "done"))
    result = advance(M, ledger, by="gateway:a", now=T0, failure=HardFailure(V2, "not loaded"))
    assert result.traffic.champion == V2


def test_every_caller_rolls_back_a_champion_whose_predictions_go_bad(ledger):
    registered(ledger)
    write(ledger, promote(ledger.read(M), V2, T0, "done"))
    ledger.add_evidence(M, "run-2", "a", T0, {("champion", "champion"): Tally(rows=200, nan=200)})
    result = advance(M, ledger, by="airflow", now=T0 + timedelta(minutes=1))
    assert result.champion_rolled_back
    assert result.traffic.champion == V1
    assert {check.verdict for check in result.checks} == {"FAIL"}


def test_another_writer_in_between_only_costs_another_attempt():
    class Raced(MemoryLedger):
        """A ledger that another driver advances just before the first write."""

        raced = False

        def write(self, traffic, **more):
            if traffic.active is not None and traffic.active.phase is Phase.CANARY and not self.raced:
                self.raced = True
                advance(M, self, by="airflow", now=T0 + WARM_UP)
            return super().write(traffic, **more)

    ledger = Raced()
    registered(ledger)
    result = advance(M, ledger, by="gateway:a", now=T0 + WARM_UP, candidate_ready=True)
    assert result.traffic.active.stage == "canary:0"
    assert [event.kind for event in ledger.events(M)].count("canary") == 1


def test_a_rollout_without_approval_waits_at_its_last_step(ledger):
    registered(ledger)
    plan = replace(PLAN, approval=True)
    write(ledger, begin(ledger.read(M), VersionRef("3", "c"), "run-3", plan, T0, skip_shadow=True))
    now = T0
    for _ in PLAN.steps:
        stage = advance(M, ledger, by="airflow", now=now, candidate_ready=True).traffic.active.stage
        now += PLAN.step_duration
        rows = Tally(rows=300, predictions=(300,), latency=(0,) * 50 + (300,))
        ledger.add_evidence(M, "run-3", "a", now, {(stage, who): rows for who in (CANDIDATE, "control")})
    assert advance(M, ledger, by="airflow", now=now).traffic.active.phase is Phase.WAITING
