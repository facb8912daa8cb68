"""Compare-and-swap: read the ledger, decide, write; start again when another writer was first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from homeostat.config.errors import StaleRevision
from homeostat.core.rollout import EventKind, Traffic, Transition
from homeostat.ports import Ledger
from homeostat.rollouts.rollout_trace import trace_phase
from homeostat.tracing import Tracer

#: Two processes that write at the same moment both succeed within a few attempts.
MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """A transition to write, and the evidence to record with it."""

    transition: Transition
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CasResult:
    """The states before and after, and the transition between them (None: nothing to do)."""

    before: Traffic
    traffic: Traffic
    transition: Transition | None = None


def compare_and_swap(
    model: str,
    ledger: Ledger,
    decide: Callable[[Traffic], LedgerChange | None],
    *,
    by: str,
    now: Callable[[], datetime],
    tracer: Tracer | None = None,
) -> CasResult:
    """Decide on the current state and write the outcome; on a stale revision, read and decide again.

    Nothing is written when ``decide`` returns None or a transition of the kind ``unchanged``. ``tracer``
    records the phase of a rollout that the change ends.

    Raises
    ------
    StaleRevision
        Other writers were first in every attempt.
    """
    for _ in range(MAX_ATTEMPTS):
        traffic = ledger.read(model)
        change = decide(traffic)
        if change is None:
            return CasResult(traffic, traffic)
        transition = change.transition
        if transition.kind is EventKind.UNCHANGED:
            return CasResult(traffic, traffic, transition)
        at = now()
        try:
            written = ledger.write(
                transition.traffic,
                kind=str(transition.kind),
                reason=transition.reason,
                by=by,
                at=at,
                evidence=change.evidence,
            )
        except StaleRevision:
            continue
        trace_phase(tracer, traffic, written, transition, by=by, at=at)
        return CasResult(traffic, written, transition)
    msg = f"{model}: the ledger changed {MAX_ATTEMPTS} times while one change was decided; try again"
    raise StaleRevision(msg)
