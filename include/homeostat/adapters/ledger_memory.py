"""In-memory ledger for tests; passes the same contract tests as the SQL ledger."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from homeostat.adapters.health_records import thin, too_fine
from homeostat.adapters.leases import Lease, grant_lease
from homeostat.config.errors import StaleRevision, Unavailable
from homeostat.core.retention import Retention
from homeostat.core.rollout.event_kinds import SAME_CHAMPION
from homeostat.core.rollout.evidence import Evidence, Tally
from homeostat.core.rollout.phases import Traffic
from homeostat.ports import Event, FleetEntry, HealthRecord, LeaseResult, RecordKind


class MemoryLedger:
    """Traffic, events, evidence and leases in dictionaries. Set ``down`` to simulate an outage."""

    def __init__(self) -> None:
        self.down = False
        self._traffic: dict[str, Traffic] = {}
        self._events: dict[str, list[Event]] = {}
        self._evidence: dict[tuple[str, str], list[tuple[int, str, str, Tally]]] = {}
        self._replaced: dict[tuple[str, str, str], dict[tuple[str, str], Tally]] = {}
        self._batches: dict[tuple[str, str, str], int] = {}
        self._granted_to: dict[tuple[str, str], str] = {}
        self._leases: dict[str, Lease] = {}
        self._records: dict[tuple[str, RecordKind, str], HealthRecord] = {}
        self._lock = threading.RLock()

    def read(self, model: str) -> Traffic:
        """See :meth:`homeostat.ports.Ledger.read`."""
        self._raise_if_down()
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
        self._raise_if_down()
        with self._lock:
            current = self.read(traffic.model).revision
            if traffic.revision != current:
                raise StaleRevision(stale_message(traffic, current))
            written = traffic.at(current + 1)
            # Through JSON, as in the SQL ledger: values that JSON cannot hold fail here too.
            state, evidence_json = json.loads(json.dumps([written.to_json(), dict(evidence or {})]))
            event = Event(written.model, written.revision, at, kind, reason, by, state, evidence_json)
            self._events.setdefault(written.model, []).append(event)
            self._traffic[written.model] = written
            return written

    def models(self) -> list[str]:
        """See :meth:`homeostat.ports.Ledger.models`."""
        self._raise_if_down()
        with self._lock:
            return sorted(self._traffic)

    def events(self, model: str, since: int = 0) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events`."""
        self._raise_if_down()
        with self._lock:
            return [event for event in self._events.get(model, []) if event.revision > since]

    def events_between(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events_between`."""
        return self._newest_events(model, since, limit, frozenset())

    def champion_events(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.champion_events`."""
        return self._newest_events(model, since, limit, SAME_CHAMPION)

    def _newest_events(
        self, model: str, since: datetime | None, limit: int, without: Collection[str]
    ) -> list[Event]:
        self._raise_if_down()
        with self._lock:
            found = [event for event in self._events.get(model, []) if event.kind not in without]
        found = [event for event in found if since is None or event.at >= since]
        return [replace(event, evidence={}) for event in found[-limit:]]

    def save_record(self, record: HealthRecord) -> None:
        """See :meth:`homeostat.ports.Ledger.save_record`."""
        self._raise_if_down()
        body = json.loads(json.dumps(dict(record.body), allow_nan=False))
        with self._lock:
            self._records[record.model, record.kind, record.key] = replace(record, body=body)
            for key in too_fine(record, list(self._records.values())):
                del self._records[record.model, record.kind, key]

    def records(
        self, model: str, kind: RecordKind, since: datetime | None, limit: int
    ) -> tuple[list[HealthRecord], int]:
        """See :meth:`homeostat.ports.Ledger.records`."""
        self._raise_if_down()
        with self._lock:
            mine = [r for (name, of, _), r in self._records.items() if (name, of) == (model, kind)]
        found = sorted((r for r in mine if since is None or r.at >= since), key=lambda r: (r.at, r.key))
        return thin(found, limit), len(found)

    def delete_windows(self, model: str, retention: Retention) -> int:
        """See :meth:`homeostat.ports.Ledger.delete_windows`."""
        self._raise_if_down()
        with self._lock:
            old = [
                key
                for key, record in self._records.items()
                if record.model == model and record.kind is RecordKind.WINDOW and retention.deletes(record.at)
            ]
            for key in old:
                del self._records[key]
        return len(old)

    def fleet(self, at: datetime) -> dict[str, FleetEntry]:
        """See :meth:`homeostat.ports.Ledger.fleet`."""
        self._raise_if_down()
        with self._lock:
            return {
                model: FleetEntry(
                    self.read(model),
                    {
                        kind: newest[-1]
                        for kind in (RecordKind.WINDOW, RecordKind.RETRAIN)
                        if (newest := self.records(model, kind, None, 1)[0])
                    },
                    self.lease_holder(model, at),
                )
                for model in sorted(self._traffic.keys() | self._leases.keys())
            }

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
        self._raise_if_down()
        rows = [(int(at.timestamp()), stage, variant, tally) for (stage, variant), tally in tallies.items()]
        key = (model, rollout, gateway)
        with self._lock:
            if batch and batch <= self._batches.get(key, 0):
                return
            self._batches[key] = max(batch, self._batches.get(key, 0))
            self._evidence.setdefault((model, rollout), []).extend(rows)

    def replace_evidence(
        self, model: str, rollout: str, source: str, tallies: Mapping[tuple[str, str], Tally]
    ) -> None:
        """See :meth:`homeostat.ports.Ledger.replace_evidence`."""
        self._raise_if_down()
        with self._lock:
            self._replaced.setdefault((model, rollout, source), {}).update(tallies)

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:
        """See :meth:`homeostat.ports.Ledger.evidence`."""
        self._raise_if_down()
        first = int(since.timestamp()) if since else 0
        total: dict[tuple[str, str], Tally] = {}
        with self._lock:
            for second, stage, variant, tally in self._evidence.get((model, rollout), []):
                if second >= first:
                    total[stage, variant] = total.get((stage, variant), Tally()) + tally
            for (of_model, of_rollout, _), tallies in self._replaced.items():
                if (of_model, of_rollout) == (model, rollout):
                    for key, tally in tallies.items():
                        total[key] = total.get(key, Tally()) + tally
        return total

    def acquire_lease(
        self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta
    ) -> LeaseResult:
        """See :meth:`homeostat.ports.Ledger.acquire_lease`."""
        self._raise_if_down()
        with self._lock:
            granted_to = self._granted_to.get((model, trigger))
            result = grant_lease(
                model, trigger, holder, at, granted_to=granted_to, lease=self._leases.get(model)
            )
            if result.granted:
                self._granted_to[model, trigger] = holder
                self._leases[model] = Lease(holder, at + lease)
            return result

    def lease_holder(self, model: str, at: datetime) -> str | None:
        """See :meth:`homeostat.ports.Ledger.lease_holder`."""
        self._raise_if_down()
        with self._lock:
            held = self._leases.get(model)
            return held.holder if held is not None and held.until > at else None

    def release_lease(self, model: str, holder: str) -> None:
        """See :meth:`homeostat.ports.Ledger.release_lease`."""
        self._raise_if_down()
        with self._lock:
            held = self._leases.get(model)
            if held is not None and held.holder == holder:
                del self._leases[model]

    def _raise_if_down(self) -> None:
        if self.down:
            raise Unavailable("the in-memory ledger is set to be down")


def stale_message(traffic: Traffic, current: int) -> str:
    """Return the message of a StaleRevision error."""
    return (
        f"{traffic.model}: the ledger is at revision {current}, not {traffic.revision}: "
        "another process wrote first; read the state again and retry"
    )
