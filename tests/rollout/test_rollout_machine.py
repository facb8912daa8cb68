"""Anything that people, time and evidence can do to a rollout, in any order."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from homeostat.config.errors import NoPrevious, Refused
from homeostat.rollout import (
    Phase,
    Plan,
    Tally,
    Traffic,
    VersionRef,
    approve,
    begin,
    decide,
    promote,
    roll_back,
    watch,
    weights,
)

PLAN = Plan(
    shadow=timedelta(minutes=10),
    max_divergence=0.2,
    shadow_min_samples=20,
    steps=(0.1, 0.5),
    step_duration=timedelta(minutes=10),
    min_samples=20,
    error_rate=0.01,
    p99_latency_ms=200.0,
    window=50,
)
WHO = ("champion", "control", "candidate", "shadow")


class Rollouts(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.traffic = Traffic("m")
        self.now = datetime(2026, 3, 1, tzinfo=UTC)
        self.evidence = {}
        self.made = 0
        self.forced = set()
        self.approved = set()
        self.taken_back = set()

    def write(self, transition):
        """What the ledger does; and what must hold from one state to the next."""
        before, after = self.traffic, transition.traffic
        assert after.revision == before.revision
        assert transition.reason
        if transition.kind == "unchanged":
            assert after == before
            return
        if transition.kind == "promoted":
            assert after.previous == before.champion
            assert after.promoted_at == self.now
            assert after.rollout.phase is Phase.CHAMPION
        if transition.kind == "rolled_back":
            assert weights(after)["candidate"] == 0
            assert not after.active
        if after.champion != before.champion:
            assert transition.kind in ("promoted", "rolled_back")
        if after.rollout != before.rollout and (
            before.rollout is None or after.rollout.id != before.rollout.id
        ):
            self.evidence = {}
        self.traffic = after.at(before.revision + 1)

    @rule(forced=st.booleans(), approval=st.booleans(), skip=st.booleans(), serve=st.booleans())
    def begin(self, forced, approval, skip, serve):
        self.made += 1
        ref = VersionRef(str(self.made), f"digest-{self.made}")
        if forced or approval:
            self.forced.add(ref)
        transition = begin(
            self.traffic,
            ref,
            f"run-{self.made}",
            replace(PLAN, approval=approval),
            self.now,
            skip_shadow=skip,
            forced=forced,
            serve=serve,
        )
        self.write(transition)
        assert begin(self.traffic, ref, f"run-{self.made}", PLAN, self.now).kind == "unchanged"

    @rule(
        minutes=st.integers(-30, 30),
        rows=st.sampled_from([0, 5, 400]),
        ill=st.sampled_from(["", "nan", "slow"]),
    )
    def time_passes(self, minutes, rows, ill):
        self.now += timedelta(minutes=minutes)
        rollout = self.traffic.active
        if rollout is not None:
            for who in WHO:
                own = who in ("candidate", "shadow")
                tally = Tally(
                    answers=rows,
                    nan=rows if own and ill == "nan" else 0,
                    compared=rows,
                    predictions=(rows,),
                    latency=(0,) * (80 if own and ill == "slow" else 40) + (rows,),
                )
                key = (rollout.stage, who)
                self.evidence[key] = self.evidence.get(key, Tally()) + tally
        decision = decide(self.traffic, self.evidence, self.now)
        again = Traffic.from_json(json.loads(json.dumps(self.traffic.to_json())))
        assert decide(again, self.evidence, self.now) == decision
        if decision.transition is not None:
            self.write(decision.transition)

    @rule()
    def approve(self):
        if self.traffic.active is None:
            with pytest.raises(Refused):
                approve(self.traffic, self.now)
            return
        self.approved.add(self.traffic.active.candidate)
        self.write(approve(self.traffic, self.now))

    @rule()
    def roll_back(self):
        if self.traffic.active is None and self.traffic.previous is None:
            with pytest.raises(NoPrevious):
                roll_back(self.traffic, "by hand", self.now)
            return
        bad = None if self.traffic.active else self.traffic.champion
        try:
            transition = roll_back(self.traffic, "by hand", self.now)
        except NoPrevious:
            assert self.traffic.previous in self.taken_back
            return
        self.write(transition)
        if bad is not None:
            assert self.traffic.champion not in self.taken_back
            self.taken_back.add(bad)
            assert self.traffic.champion != bad

    @precondition(lambda self: self.made)
    @rule(data=st.data())
    def promote_by_hand(self, data):
        number = data.draw(st.integers(1, self.made))
        ref = VersionRef(str(number), f"digest-{number}")
        self.approved.add(ref)
        self.taken_back.discard(ref)
        self.write(promote(self.traffic, ref, self.now, "by hand"))
        assert self.traffic.champion == ref

    @rule()
    def champion_answers_nan(self):
        bad = self.traffic.champion
        transition = watch(self.traffic, Tally(answers=200, nan=200), self.now).transition
        if transition is not None:
            self.write(transition)
            assert self.traffic.champion not in self.taken_back
            self.taken_back.add(bad)

    @invariant()
    def weights_add_to_one(self):
        found = weights(self.traffic)
        assert sum(found.values()) == pytest.approx(1)
        assert all(0 <= weight <= 1 for weight in found.values())
        if not self.traffic.active:
            assert found["candidate"] == 0

    @invariant()
    def a_share_is_only_taken_beside_a_champion(self):
        if weights(self.traffic)["candidate"] > 0:
            assert self.traffic.champion is not None
            assert self.traffic.rollout.candidate != self.traffic.champion

    @invariant()
    def nobody_is_champion_who_had_to_be_approved_and_was_not(self):
        assert self.traffic.champion not in self.forced - self.approved

    @invariant()
    def champion_and_previous_are_two(self):
        if self.traffic.champion is not None:
            assert self.traffic.previous != self.traffic.champion


Rollouts.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRollouts = Rollouts.TestCase
