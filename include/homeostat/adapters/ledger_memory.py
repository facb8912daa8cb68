"""A ledger in memory, for tests; it keeps every promise of the real one."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from homeostat.adapters.leases import Lease, decide_claim
from homeostat.config.errors import StaleRevision, Unavailable
from homeostat.core.rollout.evidence import Evidence, Tally
from homeostat.core.rollout.phases import Traffic
from homeostat.ports import Claim, Event


class MemoryLedger:
    """Traffic, events, evidence and claims in dictionaries. Set ``down`` to see what an outage does."""

    def __init__(self) -> None:
        self.down = False
        self._traffic: dict[str, Traffic] = {}
        self._events: dict[str, list[Event]] = {}
        self._evidence: dict[tuple[str, str], list[tuple[int, str, str, Tally]]] = {}
        self._batches: dict[tuple[str, str, str], int] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self._leases: dict[str, Lease] = {}
        self._lock = threading.RLock()

    def read(self, model: str) -> Traffic:
        """See :meth:`homeostat.ports.Ledger.read`."""
        self._answer()
        return self._traffic.get(model, Traffic(model))

    def write(
        self,
        traffic: Traffic,
        *,
        kind: str,
        reason: str,
        by: str,
        at: datetime,
        evidence: Mapping[str, Any] | None = None,
    ) -> Traffic:
        """See :meth:`homeostat.ports.Ledger.write`."""
        self._answer()
        with self._lock:
            current = self.read(traffic.model).revision
            if traffic.revision != current:
                raise StaleRevision(stale(traffic, current))
            written = traffic.at(current + 1)
            # Through JSON, as the real ledger does it: what cannot be written must fail here too.
            state, proof = json.loads(json.dumps([written.to_json(), dict(evidence or {})]))
            event = Event(written.model, written.revision, at, kind, reason, by, state, proof)
            self._events.setdefault(written.model, []).append(event)
            self._traffic[written.model] = written
            return written

    def events(self, model: str, since: int = 0) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events`."""
        self._answer()
        with self._lock:
            return [event for event in self._events.get(model, []) if event.revision > since]

    def add_evidence(
        self,
        model: str,
        rollout: str,
        gateway: str,
        at: datetime,
        tallies: Mapping[tuple[str, str], Tally],
        *,
        batch: int = 0,
    ) -> None:
        """See :meth:`homeostat.ports.Ledger.add_evidence`."""
        self._answer()
        rows = [(int(at.timestamp()), stage, variant, tally) for (stage, variant), tally in tallies.items()]
        owner = (model, rollout, gateway)
        with self._lock:
            if batch and batch <= self._batches.get(owner, 0):
                return
            self._batches[owner] = max(batch, self._batches.get(owner, 0))
            self._evidence.setdefault((model, rollout), []).extend(rows)

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:
        """See :meth:`homeostat.ports.Ledger.evidence`."""
        self._answer()
        first = int(since.timestamp()) if since else 0
        total: dict[tuple[str, str], Tally] = {}
        with self._lock:
            for second, stage, variant, tally in self._evidence.get((model, rollout), []):
                if second >= first:
                    total[stage, variant] = total.get((stage, variant), Tally()) + tally
        return total

    def claim(self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta) -> Claim:
        """See :meth:`homeostat.ports.Ledger.claim`."""
        self._answer()
        with self._lock:
            owner = self._owners.get((model, trigger))
            answer = decide_claim(model, trigger, holder, at, owner=owner, lease=self._leases.get(model))
            if answer.granted:
                self._owners[model, trigger] = holder
                self._leases[model] = Lease(holder, at + lease)
            return answer

    def holder(self, model: str, at: datetime) -> str | None:
        """See :meth:`homeostat.ports.Ledger.holder`."""
        self._answer()
        with self._lock:
            held = self._leases.get(model)
            return held.holder if held is not None and held.until > at else None

    def release(self, model: str, holder: str) -> None:
        """See :meth:`homeostat.ports.Ledger.release`."""
        self._answer()
        with self._lock:
            held = self._leases.get(model)
            if held is not None and held.holder == holder:
                del self._leases[model]

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the ledger in memory was told to be down")


def stale(traffic: Traffic, current: int) -> str:
    """The sentence for a write that came too late."""
    return (
        f"{traffic.model}: the ledger is at revision {current}, not {traffic.revision}: "
        "someone else wrote first; read again and decide again"
    )
