"""From evidence to a decision: the candidate while there is one, otherwise the champion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from homeostat.core.rollout import decide, roll_back, watch
from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.health.hard_limit import TRIP
from homeostat.core.rollout.phases import Phase, Rollout, Traffic, VersionRef
from homeostat.core.rollout.transitions import Transition
from homeostat.ports import Ports
from homeostat.rollouts.advance import champion_evidence
from homeostat.serving.inference.routing import ModelState
from homeostat.serving.sync.bundle_cache import Loader
from homeostat.serving.sync.notify import tell_rolled_back

#: How long a registered candidate may take to load before its shadow or canary begins all the same.
WARM_UP = timedelta(minutes=2)

#: Steps that are not taken while the log loses rows: what is not on record proves nothing later.
ONWARD = ("shadow", "canary", "waiting", "promoted")

#: From the state that was just read to what should follow; None: nothing.
Step = Callable[[Traffic], Transition | None]


class Change(Protocol):
    """Read, decide, write by compare-and-swap, swap the routing."""

    def __call__(
        self,
        state: ModelState,
        step: Step,
        by: str,
        *,
        tallies: Mapping[tuple[str, str], Tally] | None = None,
    ) -> Transition | None:
        """The transition that was decided; None when there was nothing to do."""


class Judge:
    """Asks the pure rules, with the evidence of all gateways, and has their answer written."""

    def __init__(
        self, ports: Ports, loader: Loader, change: Change, by: str, losing: Callable[[], bool]
    ) -> None:
        self._ports = ports
        self._loader = loader
        self._change = change
        self._by = by
        self._losing = losing

    def judge(self, state: ModelState) -> None:
        """Decide once on this model's candidate, or on its champion when no rollout is under way."""
        failed = _failed_candidate(state)
        traffic = state.table.traffic
        if failed:
            now = self._ports.clock.now
            self._change(state, lambda t: roll_back(t, failed, now()) if t.active else None, self._by)
        elif traffic.active is not None:
            self._candidate(state, traffic.active)
        elif watched(traffic):
            self._champion(state, traffic)

    def give_up(self, state: ModelState, ref: VersionRef, hanging: int) -> None:
        """Take back a version whose predict calls do not return.

        A candidate, or a champion still in the first ``step_duration`` of its reign, at the first of them; an
        older champion at the third: one row that nobody has met before must not undo it.
        """
        reason = f"version {ref.version} hangs: {hanging} predict calls have not returned"

        def step(traffic: Traffic) -> Transition | None:
            now, active = self._ports.clock.now(), traffic.active
            if active is not None:
                return roll_back(traffic, reason, now) if active.candidate == ref else None
            rollout = traffic.rollout
            if rollout is None or traffic.champion != ref or not watched(traffic):
                return None
            fresh = now - rollout.entered_at <= rollout.plan.step_duration
            return roll_back(traffic, reason, now) if fresh or hanging >= TRIP else None

        champion = state.table.traffic.active is None
        done = self._change(state, step, self._by)
        if done is not None and done.kind == "rolled_back" and champion:
            self._tell(state, done.reason)

    def _candidate(self, state: ModelState, rollout: Rollout) -> None:
        if rollout.phase is Phase.REGISTERED and not self._warm(state, rollout):
            return
        evidence = self._ports.ledger.evidence(state.config.name, rollout.id)

        def step(traffic: Traffic) -> Transition | None:
            if traffic.active is None or traffic.active.id != rollout.id:
                return None
            decision = decide(traffic, evidence, self._ports.clock.now())
            state.checks = tuple(check.to_json() for check in decision.checks)
            found = decision.transition
            return None if found is not None and found.kind in ONWARD and self._losing() else found

        self._change(state, step, self._by, tallies=evidence)

    def _warm(self, state: ModelState, rollout: Rollout) -> bool:
        """Whether the candidate is loaded, and its shadow up: its time must not run before it can answer."""
        if self._ports.clock.now() - rollout.entered_at > WARM_UP:
            return True
        if self._loader.get(state.config.name, rollout.candidate) is None:
            return False
        shadow = state.table.shadow
        return rollout.plan.shadow <= timedelta(0) or (shadow is not None and shadow.ready.is_set())

    def _champion(self, state: ModelState, traffic: Traffic) -> None:
        rollout = traffic.rollout
        if rollout is None or traffic.previous is None or traffic.promoted_at is None:
            return
        now = self._ports.clock.now()
        evidence = champion_evidence(state.config.name, self._ports.ledger, traffic, now)

        def step(now_traffic: Traffic) -> Transition | None:
            if now_traffic.active is not None or now_traffic.rollout != rollout:
                return None
            decision = watch(now_traffic, evidence, now)
            state.checks = tuple(check.to_json() for check in decision.checks)
            return decision.transition

        done = self._change(state, step, self._by, tallies=evidence)
        if done is not None and done.kind == "rolled_back":
            self._tell(state, done.reason)

    def _tell(self, state: ModelState, reason: str) -> None:
        """A champion taken back by night is news; no retrain is waiting that would tell it."""
        tell_rolled_back(self._ports.notifier, state.config, "the champion was taken back", reason)


def watched(traffic: Traffic) -> bool:
    """Whether there is a champion to judge, and a version to go back to."""
    return (
        traffic.previous is not None
        and traffic.rollout is not None
        and traffic.rollout.phase is Phase.CHAMPION
    )


def _failed_candidate(state: ModelState) -> str:
    active = state.table.traffic.active
    return state.shadow_failed.get(active.candidate, "") if active is not None else ""
