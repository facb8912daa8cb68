"""Compare and swap: read the ledger, decide, write; from the beginning again when somebody else was first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.config.errors import StaleRevision
from homeostat.core.rollout import Traffic, Transition
from homeostat.ports import Ledger

#: Two processes that write at the same moment both get through within a few tries.
TRIES = 20

#: The next state with its evidence, or None to leave everything as it is.
Decided = tuple[Transition, Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class Swapped:
    """The state in force afterwards, and the transition that was decided on it (None: nothing was to do)."""

    traffic: Traffic
    transition: Transition | None = None


def swap(
    model: str,
    ledger: Ledger,
    decision: Callable[[Traffic], Decided],
    *,
    by: str,
    now: Callable[[], datetime],
) -> Swapped:
    """Decide on the state as it is and write the outcome; on a stale revision, read and decide again.

    A decision of None, or one that says ``unchanged``, leaves everything as it is.

    Raises
    ------
    StaleRevision
        Others kept getting in between.
    """
    for _ in range(TRIES):
        traffic = ledger.read(model)
        decided = decision(traffic)
        if decided is None:
            return Swapped(traffic)
        transition, evidence = decided
        if transition.kind == "unchanged":
            return Swapped(traffic, transition)
        try:
            written = ledger.write(
                transition.traffic,
                kind=transition.kind,
                reason=transition.reason,
                by=by,
                at=now(),
                evidence=evidence,
            )
        except StaleRevision:
            continue
        return Swapped(written, transition)
    msg = f"{model}: the ledger changed {TRIES} times while one change was decided; try again"
    raise StaleRevision(msg)
