"""From what happened to evidence: answers are counted beside the hot path and handed to the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from homeostat.gateway.counting import Counts
from homeostat.gateway.routing import ModelState
from homeostat.ports import Clock, Ledger
from homeostat.rollout.phases import VersionRef


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
        """Add everything counted to the ledger; Unavailable when it does not answer, and all is kept."""
        self.count(state)
        counts = self._counts[state.config.name]
        for rollout, tallies in counts.drain().items():
            try:
                self._ledger.add_evidence(
                    state.config.name, rollout, self._gateway, self._clock.now(), tallies
                )
            except BaseException:
                counts.put_back(rollout, tallies)
                raise
