"""From what happened to evidence: answers are counted beside the hot path and handed to the ledger."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.core.rollout.phases import VersionRef
from homeostat.ports import Clock, Ledger
from homeostat.serving.inference.routing import ModelState
from homeostat.serving.sync.evidence_counter import Counts, Tallies


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    at: datetime
    tallies: Tallies


class Handover:
    """Every model's counts on their way to the ledger; what it does not take goes with the next.

    Parameters
    ----------
    gateway
        This gateway's own name: counts of several gateways add up and never overwrite each other.
    """

    def __init__(self, states: Mapping[str, ModelState], ledger: Ledger, clock: Clock, gateway: str) -> None:
        self._ledger = ledger
        self._clock = clock
        self._gateway = gateway
        self._counts = {name: Counts(state.config) for name, state in states.items()}
        self._pending: dict[str, dict[str, _Batch]] = {name: {} for name in states}
        self._serial = itertools.count(1)

    def know(self, model: str, ref: VersionRef, bundle: Any) -> None:
        """A version was loaded: its edges and its range are known from now on."""
        self._counts[model].know(ref, bundle)

    def count(self, state: ModelState) -> None:
        """Count what happened since the last time."""
        counts = self._counts[state.config.name]
        happened = state.happened
        for _ in range(len(happened)):
            try:
                counts.add(happened.popleft(), state.table.traffic)
            except IndexError:
                return

    def hand_over(self, state: ModelState) -> None:
        """Add everything counted to the ledger; Unavailable when it does not answer, and all is kept.

        A batch whose answer was lost is sent again as it was, under its number: the ledger counts it once.
        """
        self.count(state)
        name = state.config.name
        counts, pending = self._counts[name], self._pending[name]
        for rollout, tallies in counts.drain().items():
            if rollout in pending:
                counts.put_back(rollout, tallies)
            else:
                pending[rollout] = _Batch(next(self._serial), self._clock.now(), tallies)
        for rollout, batch in list(pending.items()):
            self._ledger.add_evidence(
                name, rollout, self._gateway, batch.at, batch.tallies, batch=batch.number
            )
            del pending[rollout]
