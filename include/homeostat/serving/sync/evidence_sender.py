"""Send evidence to the ledger: outcomes are counted beside the hot path and added to the ledger's counts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.core.rollout.phases import VersionRef
from homeostat.ports import Clock, Ledger
from homeostat.rollouts.recording_guard import dropping_rows_report
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.sync.evidence_counter import EvidenceCounter, Tallies, merge


@dataclass(frozen=True, slots=True)
class _Batch:
    number: int
    at: datetime
    tallies: Tallies


class EvidenceSender:
    """Counts every model's outcomes and adds the counts to the ledger; what fails is sent with the next.

    Parameters
    ----------
    gateway
        The gateway's unique name: counts of several gateways add up and never overwrite each other.
    dropping_rows
        Whether this gateway's prediction log is dropping rows: reported with the evidence, so that every
        driver holds the rollout.
    """

    def __init__(
        self,
        models: Mapping[str, ServedModel],
        ledger: Ledger,
        clock: Clock,
        gateway: str,
        *,
        dropping_rows: Callable[[], bool],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._gateway = gateway
        self._dropping_rows = dropping_rows
        self._counters = {name: EvidenceCounter(model.config) for name, model in models.items()}
        self._pending: dict[str, dict[str, _Batch]] = {name: {} for name in models}
        self._serial = itertools.count(1)

    def register_version(self, model: str, ref: VersionRef, bundle: Any) -> None:
        """Make a loaded version's prediction edges and range known to the counter."""
        self._counters[model].register_version(ref, bundle)

    def count(self, model: ServedModel) -> None:
        """Count the outcomes since the last time."""
        counter, queue = self._counters[model.name], model.outcomes
        for _ in range(len(queue)):
            try:
                counter.add(queue.popleft(), model.table.traffic)
            except IndexError:
                return

    def send(self, model: ServedModel) -> None:
        """Add all counts to the ledger; Unavailable when it does not answer, and everything is kept.

        A batch whose response was lost is sent again under its number: the ledger counts it once.
        """
        self.count(model)
        counter, pending = self._counters[model.name], self._pending[model.name]
        counted = counter.drain()
        active = model.table.traffic.active
        if active is not None and self._dropping_rows():
            merge(counted.setdefault(active.id, {}), dropping_rows_report())
        for rollout, tallies in counted.items():
            if rollout in pending:
                counter.put_back(rollout, tallies)
            else:
                pending[rollout] = _Batch(next(self._serial), self._clock.now(), tallies)
        for rollout, batch in list(pending.items()):
            self._ledger.add_evidence(
                model.name, rollout, self._gateway, batch.at, batch.tallies, batch=batch.number
            )
            del pending[rollout]
