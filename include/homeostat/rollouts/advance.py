"""The rollout driver: decide from time and evidence, and write the outcome to the ledger.

Gateways call it with every evaluation, Airflow's trigger and ``homeostat retrain`` while they wait for a
rollout. All use the same decisions and the same guard, and any number of them may run at once: the ledger is
written by compare-and-swap, and only then does a change take effect, as the gateways follow the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from homeostat.config.errors import StaleRevision
from homeostat.core.rollout import (
    ADVANCING,
    CHAMPION,
    CONTROL,
    LABELLED_PAIRS,
    Decision,
    EventKind,
    Evidence,
    HardFailure,
    HealthCheckResult,
    Phase,
    Rollout,
    Tally,
    Traffic,
    Transition,
    champion_watch,
    decide_hard_failure,
    decide_rollout,
    epochs,
)
from homeostat.core.rollout.champion_watch import FORMER, is_watched
from homeostat.ports import Ledger
from homeostat.rollouts.ledger_cas import CasResult, LedgerChange, compare_and_swap
from homeostat.rollouts.recording_guard import is_dropping_rows
from homeostat.tracing import Tracer

#: How long the gateways may take to load a candidate before its shadow or canary begins all the same.
WARM_UP = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class AdvanceResult:
    """The state in force, the transition that was made (None: stay), and how it was decided.

    ``checks`` is None when no checks ran. ``held`` says why a transition was decided but not made.
    """

    traffic: Traffic
    transition: Transition | None = None
    checks: tuple[HealthCheckResult, ...] | None = None
    held: str = ""
    champion_rolled_back: bool = False


@dataclass(frozen=True, slots=True)
class _Evaluation:
    """A decision, the evidence that it rests on (None: none was read), and why it is not to be written."""

    decision: Decision
    evidence: Evidence | None = None
    held: str = ""


_NOTHING_TO_DO = _Evaluation(Decision(None))


@dataclass(slots=True)
class _Driver:
    """One call of :func:`advance`; the last evaluation is the one that was written."""

    ledger: Ledger
    at: datetime
    candidate_ready: bool
    failure: HardFailure | None
    last: _Evaluation = field(default=_NOTHING_TO_DO)

    def decide(self, traffic: Traffic) -> LedgerChange | None:
        """Decide on the candidate while there is one, otherwise on the champion."""
        self.last = found = self._evaluate(traffic)
        decision = found.decision
        if decision.transition is None or found.held:
            return None
        return LedgerChange(decision.transition, decision.record(found.evidence or {}))

    def _evaluate(self, traffic: Traffic) -> _Evaluation:
        if self.failure is not None:
            rollback = decide_hard_failure(traffic, self.failure, self.at)
            if rollback is not None:
                return _Evaluation(Decision(rollback))
        rollout = traffic.active
        if rollout is None:
            if not is_watched(traffic):
                return _NOTHING_TO_DO
            evidence = champion_evidence(traffic.model, self.ledger, traffic, self.at)
            return _Evaluation(champion_watch(traffic, evidence, self.at), evidence)
        if self._warming_up(rollout, first_version=traffic.champion is None):
            return _NOTHING_TO_DO
        evidence = self.ledger.evidence(traffic.model, rollout.id)
        decision = decide_rollout(traffic, evidence, self.at)
        return _Evaluation(decision, evidence, self._held(traffic.model, rollout, decision))

    def _warming_up(self, rollout: Rollout, *, first_version: bool) -> bool:
        """Whether a registered candidate may still load: its shadow must not begin before it can predict.

        A first version waits for as long as it takes: it must not serve before it can.
        """
        if rollout.phase is not Phase.REGISTERED or self.candidate_ready:
            return False
        return first_version or self.at - rollout.entered_at < WARM_UP

    def _held(self, model: str, rollout: Rollout, decision: Decision) -> str:
        step = decision.transition
        if step is None or step.kind not in ADVANCING:
            return ""
        if not is_dropping_rows(self.ledger, model, rollout.id, self.at):
            return ""
        return f"{rollout.stage_name} is held: a gateway's prediction log is dropping rows (see its /health)"


def advance(
    model: str,
    ledger: Ledger,
    *,
    by: str,
    now: datetime | None = None,
    candidate_ready: bool = False,
    failure: HardFailure | None = None,
    tracer: Tracer | None = None,
) -> AdvanceResult:
    """Decide once on the active rollout, or else on the promoted champion, and write the outcome.

    Safe to call from anywhere, at any rate. No step forward is made while a gateway reports that its
    prediction log drops rows, see :mod:`~homeostat.rollouts.recording_guard`; rollbacks are never held.

    Parameters
    ----------
    candidate_ready
        The caller has the candidate loaded and its shadow running. Otherwise a registered candidate is left
        to the gateways for :data:`WARM_UP`; after that its shadow begins even if no gateway is alive. A first
        version is always left to them.
    failure
        A failure that the caller saw and that needs no statistics.
    tracer
        Records the phase that this call ends.

    Raises
    ------
    Unavailable
        The ledger does not answer: nothing was changed.
    """
    driver = _Driver(ledger, now or datetime.now(UTC), candidate_ready, failure)
    try:
        done = compare_and_swap(model, ledger, driver.decide, by=by, now=lambda: driver.at, tracer=tracer)
    except StaleRevision:
        traffic = ledger.read(model)  # the other writers have decided as well
        done = CasResult(traffic, traffic)
    step = done.transition
    return AdvanceResult(
        done.traffic,
        step,
        None if driver.last.evidence is None else driver.last.decision.checks,
        driver.last.held,
        champion_rolled_back=step is not None
        and step.kind is EventKind.ROLLED_BACK
        and done.before.active is None,
    )


def champion_evidence(model: str, ledger: Ledger, traffic: Traffic, now: datetime) -> Evidence:
    """Return the champion's counts of this hour and day, the former one's in the canary, and the pairs."""
    if traffic.rollout is None:
        return {}
    rollout, own = traffic.rollout.id, (str(Phase.CHAMPION), CHAMPION)
    found: dict[tuple[str, str], Tally] = {}
    for name, since in epochs(traffic, now).items():
        evidence = ledger.evidence(model, rollout, since)
        found[name, CHAMPION] = evidence.get(own, Tally())
    if found:
        whole = ledger.evidence(model, rollout)
        steps = [tally for (stage, who), tally in whole.items() if who == CONTROL and "canary:" in stage]
        if steps:
            found[FORMER] = sum(steps, Tally())
        if LABELLED_PAIRS in whole:
            found[LABELLED_PAIRS] = whole[LABELLED_PAIRS]
    return found
