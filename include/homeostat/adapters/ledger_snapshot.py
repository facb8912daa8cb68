"""The ledger as it was published: for whoever only looks, where its database is out of reach."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from homeostat.config.errors import Refused
from homeostat.core.rollout import Evidence, Tally, Traffic
from homeostat.ports import Claim, Event, Store
from homeostat.storage.model_state import Published, load_published


class PublishedLedger:
    """Reads ``published/<model>.json``, each model's once: made for one check, it sees one state throughout.

    Of the events it knows those at which the champion changed. It writes nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, Published] = {}

    def published(self, model: str) -> Published:
        """All that was published of a model; see :func:`homeostat.storage.model_state.load_published`."""
        if model not in self._read:
            self._read[model] = load_published(self._store, model)
        return self._read[model]

    def read(self, model: str) -> Traffic:
        """See :meth:`homeostat.ports.Ledger.read`."""
        return self.published(model).traffic

    def events(self, model: str, since: int = 0) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events`; those at which the champion changed."""
        return [event for event in self.published(model).events if event.revision > since]

    def holder(self, model: str, at: datetime) -> str | None:
        """See :meth:`homeostat.ports.Ledger.holder`; who took the right of way since is not known here."""
        found = self.published(model)
        return found.holder if found.holder and found.until is not None and found.until > at else None

    def write(
        self,
        traffic: Traffic,
        *,
        kind: str,  # noqa: ARG002  # the port's signature, as below
        reason: str,  # noqa: ARG002
        by: str,  # noqa: ARG002
        at: datetime,  # noqa: ARG002
        evidence: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> Traffic:
        """Refused."""
        _refuse(traffic.model)

    def add_evidence(
        self,
        model: str,
        rollout: str,  # noqa: ARG002
        gateway: str,  # noqa: ARG002
        at: datetime,  # noqa: ARG002
        tallies: Mapping[tuple[str, str], Tally],  # noqa: ARG002
        *,
        batch: int = 0,  # noqa: ARG002
    ) -> None:
        """Refused."""
        _refuse(model)

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:  # noqa: ARG002
        """Refused: it is not published."""
        _refuse(model)

    def claim(self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta) -> Claim:  # noqa: ARG002
        """Refused."""
        _refuse(model)

    def release(self, model: str, holder: str) -> None:  # noqa: ARG002
        """Refused."""
        _refuse(model)


def _refuse(model: str) -> NoReturn:
    msg = f"{model}: here the ledger is only there as Airflow published it: do this where its database is"
    raise Refused(msg)
