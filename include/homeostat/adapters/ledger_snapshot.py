"""Read-only ledger from the state that Airflow publishes to the store, for processes without its database."""

# ruff: noqa: ARG002  # the port's signatures; a read-only ledger uses few of the arguments
from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from homeostat.config.errors import Refused
from homeostat.core.retention import Retention
from homeostat.core.rollout import Evidence, Tally, Traffic
from homeostat.ports import Event, FleetEntry, HealthRecord, LeaseResult, RecordKind, Store
from homeostat.storage.model_state import PublishedState, load_published_state


class LedgerSnapshot:
    """Reads ``published/<model>.json`` once per model, so that one check sees one consistent state.

    Holds only the events that changed the champion. Every write raises Refused.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loaded: dict[str, PublishedState] = {}

    def published(self, model: str) -> PublishedState:
        """Return the published state of a model."""
        if model not in self._loaded:
            self._loaded[model] = load_published_state(self._store, model)
        return self._loaded[model]

    def read(self, model: str) -> Traffic:
        """See :meth:`homeostat.ports.Ledger.read`."""
        return self.published(model).traffic

    def models(self) -> list[str]:
        """See :meth:`homeostat.ports.Ledger.models`; those of the published copies."""
        keys = self._store.list("published")
        return sorted(key.removeprefix("published/").removesuffix(".json") for key in keys)

    def events(self, model: str, since: int = 0) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events`; only the events that changed the champion."""
        return [event for event in self.published(model).events if event.revision > since]

    def events_between(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events_between`; only the events that changed the champion."""
        return [event for event in self.events(model) if since is None or event.at >= since][-limit:]

    def champion_events(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.champion_events`."""
        return self.events_between(model, since, limit)

    def save_record(self, record: HealthRecord) -> None:
        """Do nothing: Airflow writes the record when it copies the check."""

    def records(
        self, model: str, kind: RecordKind, since: datetime | None, limit: int
    ) -> tuple[list[HealthRecord], int]:
        """Refused: records are not published."""
        _refuse(model)

    def delete_windows(self, model: str, retention: Retention) -> int:
        """Refused: this ledger is read-only."""
        _refuse(model)

    def fleet(self, at: datetime) -> dict[str, FleetEntry]:
        """Refused: records are not published."""
        _refuse("fleet")

    def lease_holder(self, model: str, at: datetime) -> str | None:
        """See :meth:`homeostat.ports.Ledger.lease_holder`; as of the last publication."""
        found = self.published(model)
        return found.holder if found.holder and found.until is not None and found.until > at else None

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
        """Refused: this ledger is read-only."""
        _refuse(traffic.model)

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
        """Refused: this ledger is read-only."""
        _refuse(model)

    def replace_evidence(
        self, model: str, rollout: str, source: str, tallies: Mapping[tuple[str, str], Tally]
    ) -> None:
        """Refused: this ledger is read-only."""
        _refuse(model)

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:
        """Refused: evidence is not published."""
        _refuse(model)

    def acquire_lease(
        self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta
    ) -> LeaseResult:
        """Refused: this ledger is read-only."""
        _refuse(model)

    def release_lease(self, model: str, holder: str) -> None:
        """Refused: this ledger is read-only."""
        _refuse(model)


def _refuse(model: str) -> NoReturn:
    msg = (
        f"{model}: this process reads a published copy of the ledger; run this where HOMEOSTAT_LEDGER is set"
    )
    raise Refused(msg)
