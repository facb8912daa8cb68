"""Every step of a rollout can be recomputed from the ledger's record."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from rollout_fixture import CASES, START, Streams, play

from homeostat.adapters.ledger_memory import MemoryLedger
from homeostat.adapters.ledger_sql import SqlLedger
from homeostat.core.rollout import (
    Decision,
    Tally,
    Traffic,
    VersionRef,
    approve,
    begin,
    champion_watch,
    promote,
    recompute_all,
    roll_back,
)
from homeostat.rollouts.advance import advance, champion_evidence
from rollout_plan import PLAN

M = "m"
V1, V2, V3 = VersionRef("1", "a"), VersionRef("2", "b"), VersionRef("3", "c")


def write(ledger, step, at, *, checks=(), tallies=None):
    proof = Decision(step, tuple(checks)).record(tallies or {})
    # A gateway writes a moment after it has decided.
    later = at + timedelta(milliseconds=20)
    return ledger.write(
        step.traffic, kind=step.kind, reason=step.reason, by="gateway:a", at=later, evidence=proof
    )


@pytest.mark.parametrize("name", CASES)
def test_whole_rollouts_are_recomputed_from_their_record(name):
    case, _ = CASES[name]
    for seed in range(3):
        ledger = MemoryLedger()
        write(ledger, begin(ledger.read(M), V1, "first", case.plan, START, serve=False), START)
        write(ledger, begin(ledger.read(M), V2, "run", case.plan, START), START)

        def keep(_, decision, evidence, now, ledger=ledger):
            step = replace(
                decision.transition, traffic=decision.transition.traffic.at(ledger.read(M).revision)
            )
            write(ledger, step, now, checks=decision.checks, tallies=evidence)

        ended = play(Streams(case, seed), on_step=keep)
        found = recompute_all(M, ledger.events(M))
        assert [step.sentence for step in found if not step.agrees] == []
        assert sum(step.decided for step in found) == len(found) - 2
        assert ledger.read(M).rollout.reason == ended.reason


def healthy(rows):
    return Tally(
        rows=rows,
        compared=rows,
        predictions=(rows // 2, rows // 2),
        latency=(0,) * 50 + (rows,),
        confidence=(0,) * 40 + (rows,),
    )


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    if request.param == "memory":
        yield MemoryLedger()
        return
    kept = SqlLedger(f"sqlite:///{tmp_path}/ledger.db")
    yield kept
    kept.close()


def test_decisions_requests_and_a_rolled_back_champion_are_recomputed(ledger):
    now = START
    write(ledger, begin(ledger.read(M), V1, "first", PLAN, now, serve=False), now)
    write(ledger, begin(ledger.read(M), V2, "run", replace(PLAN, approval=True), now), now)
    for _ in range(12):
        now += timedelta(minutes=20)
        rollout = ledger.read(M).active
        variants = ("champion", "shadow", "candidate", "control")
        ledger.add_evidence(M, "run", "g", now, {(rollout.stage, who): healthy(200) for who in variants})
        advance(M, ledger, by="airflow", now=now)
    assert str(ledger.read(M).rollout.phase) == "waiting"
    write(ledger, approve(ledger.read(M), now), now)
    now += timedelta(minutes=5)
    ledger.add_evidence(M, "run", "g", now, {("champion", "champion"): Tally(rows=200, nan=200)})
    tallies = champion_evidence(M, ledger, ledger.read(M), now)
    decision = champion_watch(ledger.read(M), tallies, now)
    write(ledger, decision.transition, now, checks=decision.checks, tallies=tallies)
    write(ledger, begin(ledger.read(M), V3, "run-3", PLAN, now), now)
    write(ledger, promote(ledger.read(M), V2, now, "we need it"), now)
    write(ledger, roll_back(ledger.read(M), "we do not", now), now)
    found = recompute_all(M, ledger.events(M))
    assert [step.sentence for step in found if not step.agrees] == []
    kinds = [(step.kind, step.decided) for step in found]
    assert kinds == [
        ("promoted", False),
        ("begun", False),
        ("shadow", True),
        ("canary", True),
        ("canary", True),
        ("waiting", True),
        ("promoted", False),
        ("rolled_back", True),
        ("begun", False),
        ("promoted", False),
        ("rolled_back", False),
    ]


def rolled_back():
    ledger = MemoryLedger()
    write(ledger, begin(Traffic(M), V1, "first", PLAN, START, serve=False), START)
    write(ledger, begin(ledger.read(M), V2, "run", PLAN, START, skip_shadow=True), START)
    for minutes, evidence in ((3, {}), (4, {("canary:0", "candidate"): Tally(rows=9, nan=9)})):
        at = START + timedelta(minutes=minutes)
        ledger.add_evidence(M, "run", "g", at, evidence)
        advance(M, ledger, by="airflow", now=at)
    return ledger.events(M)


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        ({"reason": "because"}, 'recomputed "errors failed'),
        ({"kind": "promoted"}, "recomputed: rolled_back"),
        ({"evidence": {"tallies": {"canary:0/candidate": {"rows": 900}}}}, "recomputed: stay"),
        ({"evidence": {"checks": [{"name": "errors", "verdict": "PASS"}]}}, "errors recorded PASS"),
        ({"revision": 9, "traffic": {"revision": 9}}, "the revisions between are missing"),
        ({"traffic": {"champion": {"version": "2", "digest": "b"}}}, "leads to another state"),
        ({"traffic": {"rollout": None}}, ""),
    ],
)
def test_a_changed_record_is_detected(forge, says):
    *rest, last = rolled_back()
    assert all(step.agrees for step in recompute_all(M, [*rest, last]))
    forged = {
        key: {**getattr(last, key), **value} if isinstance(value, dict) else value
        for key, value in forge.items()
    }
    found = recompute_all(M, [*rest, replace(last, **forged)])[-1]
    assert not found.agrees
    assert says in found.difference
