"""The ledger in SQLite (one machine) or PostgreSQL (several gateways), written by compare-and-swap."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from homeostat.adapters import evidence_sql, health_records_sql
from homeostat.adapters.leases import Lease, grant_lease
from homeostat.adapters.ledger_memory import stale_message
from homeostat.adapters.ledger_tables import CLAIMS, EVENTS, LEASES, TRAFFIC, create_tables, make_engine
from homeostat.config.errors import ConfigError, StaleRevision, Unavailable
from homeostat.config.extras import install_hint
from homeostat.core.retention import Retention
from homeostat.core.rollout.event_kinds import SAME_CHAMPION
from homeostat.core.rollout.evidence import Evidence, Tally
from homeostat.core.rollout.phases import Traffic
from homeostat.ports import Event, FleetEntry, HealthRecord, LeaseResult, RecordKind

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# Gateways read this ten times a second for each model: building the statement costs more than running it.
_READ_STATE = sa.select(TRAFFIC.c.state).where(TRAFFIC.c.model == sa.bindparam("model"))


class SqlLedger:
    """Traffic, events, evidence and leases in a SQL database; safe to share between threads.

    Parameters
    ----------
    url
        ``sqlite:////absolute/ledger.db`` or ``postgresql+psycopg2://user@host/database``.

    Raises
    ------
    ConfigError
        The URL is not valid, or its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._engine = make_engine(url)
        except (exc.ArgumentError, ImportError) as error:
            fix = install_hint(error) or "write sqlite:////path/ledger.db"
            msg = f"HOMEOSTAT_LEDGER is not a usable database URL ({error}): {fix}"
            raise ConfigError(msg) from error
        except OSError as error:
            msg = f"HOMEOSTAT_LEDGER: cannot create the folder of the ledger: {error}"
            raise Unavailable(msg) from error
        self._read_engine = self._engine.execution_options(homeostat_reads=True)
        self._compacted_at: dict[tuple[str, str, str], int] = {}
        self._ready = False
        self._setup = threading.Lock()
        #: The last state of each model as text, and the same parsed.
        self._parsed: dict[str, tuple[str, Traffic]] = {}

    def read(self, model: str) -> Traffic:
        """See :meth:`homeostat.ports.Ledger.read`."""
        with self._connect(self._read_engine) as db:
            state = db.scalar(_READ_STATE, {"model": model})
        if state is None:
            return Traffic(model)
        known = self._parsed.get(model)
        if known is None or known[0] != state:
            known = self._parsed[model] = (state, Traffic.from_json(json.loads(state)))
        return known[1]

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
        written = traffic.at(traffic.revision + 1)
        state = json.dumps(written.to_json())
        event = {
            "model": written.model,
            "revision": written.revision,
            "at": at.isoformat(),
            "kind": kind,
            "reason": reason,
            "by": by,
            "traffic": state,
            "evidence": json.dumps(dict(evidence or {})),
        }
        values = {"revision": written.revision, "state": state}
        try:
            with self._connect(self._engine) as db:
                if traffic.revision == 0:
                    # A concurrent first write fails on the primary key.
                    db.execute(sa.insert(TRAFFIC).values(model=written.model, **values))
                else:
                    current = (TRAFFIC.c.model == written.model) & (TRAFFIC.c.revision == traffic.revision)
                    if db.execute(sa.update(TRAFFIC).where(current).values(**values)).rowcount != 1:
                        raise StaleRevision(stale_message(traffic, _revision(db, written.model)))
                db.execute(sa.insert(EVENTS).values(**event))
        except exc.IntegrityError:
            raise StaleRevision(stale_message(traffic, self.read(written.model).revision)) from None
        return written

    def models(self) -> list[str]:
        """See :meth:`homeostat.ports.Ledger.models`."""
        with self._connect(self._read_engine) as db:
            return sorted(db.scalars(sa.select(TRAFFIC.c.model)))

    def events(self, model: str, since: int = 0) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events`."""
        query = (
            sa.select(EVENTS)
            .where(EVENTS.c.model == model, EVENTS.c.revision > since)
            .order_by(EVENTS.c.revision)
        )
        with self._connect(self._read_engine) as db:
            rows = db.execute(query).mappings().all()
        return [_event(row) for row in rows]

    def events_between(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.events_between`."""
        return self._newest_events(model, since, limit)

    def champion_events(self, model: str, since: datetime | None, limit: int) -> list[Event]:
        """See :meth:`homeostat.ports.Ledger.champion_events`."""
        return self._newest_events(model, since, limit, EVENTS.c.kind.not_in(sorted(SAME_CHAMPION)))

    def _newest_events(
        self, model: str, since: datetime | None, limit: int, *conditions: sa.ColumnElement[bool]
    ) -> list[Event]:
        columns = [column for column in EVENTS.c if column.name != "evidence"]
        query = sa.select(*columns).where(EVENTS.c.model == model, *conditions)
        query = query.order_by(EVENTS.c.revision.desc())
        if since is not None:
            query = query.where(EVENTS.c.at >= since.astimezone(UTC).isoformat())
        with self._connect(self._read_engine) as db:
            rows = db.execute(query.limit(limit)).mappings().all()
        return [_event(row) for row in reversed(rows)]

    def save_record(self, record: HealthRecord) -> None:
        """See :meth:`homeostat.ports.Ledger.save_record`."""
        with self._connect(self._engine) as db:
            health_records_sql.save(db, record)

    def records(
        self, model: str, kind: RecordKind, since: datetime | None, limit: int
    ) -> tuple[list[HealthRecord], int]:
        """See :meth:`homeostat.ports.Ledger.records`."""
        with self._connect(self._read_engine) as db:
            return health_records_sql.read(db, model, kind, since, limit)

    def delete_windows(self, model: str, retention: Retention) -> int:
        """See :meth:`homeostat.ports.Ledger.delete_windows`."""
        with self._connect(self._engine) as db:
            return health_records_sql.delete_windows(db, model, retention)

    def fleet(self, at: datetime) -> dict[str, FleetEntry]:
        """See :meth:`homeostat.ports.Ledger.fleet`."""
        with self._connect(self._read_engine) as db:
            return health_records_sql.fleet(db, at)

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
        """See :meth:`homeostat.ports.Ledger.add_evidence`.

        Counts older than a few minutes are compacted, see :mod:`homeostat.adapters.evidence_sql`.
        """
        owner = (model, rollout, gateway)
        second = int(at.timestamp())
        with self._connect(self._engine) as db:
            if batch and not evidence_sql.record_batch(db, owner, batch):
                return
            evidence_sql.add_tallies(db, owner, second, tallies)
            if second - self._compacted_at.get(owner, 0) >= evidence_sql.MINUTE:
                evidence_sql.compact(db, owner, second)
        # After the commit, so that a compaction that was rolled back is retried.
        if second - self._compacted_at.get(owner, 0) >= evidence_sql.MINUTE:
            self._compacted_at[owner] = second

    def replace_evidence(
        self, model: str, rollout: str, source: str, tallies: Mapping[tuple[str, str], Tally]
    ) -> None:
        """See :meth:`homeostat.ports.Ledger.replace_evidence`."""
        with self._connect(self._engine) as db:
            evidence_sql.replace_tallies(db, (model, rollout, source), tallies)

    def evidence(self, model: str, rollout: str, since: datetime | None = None) -> Evidence:
        """See :meth:`homeostat.ports.Ledger.evidence`.

        A ``since`` in the last five minutes is exact to the second; an older one is rounded down to the
        minute or hour that the counts were compacted into.
        """
        with self._connect(self._read_engine) as db:
            return evidence_sql.sum_evidence(db, model, rollout, int(since.timestamp()) if since else None)

    def acquire_lease(
        self, model: str, trigger: str, holder: str, at: datetime, lease: timedelta
    ) -> LeaseResult:
        """See :meth:`homeostat.ports.Ledger.acquire_lease`."""
        this_model = LEASES.c.model == model
        with self._connect(self._engine) as db:
            blank = {"model": model, "holder": "", "until": _NEVER.isoformat()}
            db.execute(evidence_sql.insert_if_absent(db, LEASES).values(**blank))
            row = db.execute(sa.select(LEASES).where(this_model).with_for_update()).mappings().one()
            held = Lease(row["holder"], datetime.fromisoformat(row["until"])) if row["holder"] else None
            this_trigger = (CLAIMS.c.model == model) & (CLAIMS.c.trigger == trigger)
            granted_to = db.scalar(sa.select(CLAIMS.c.holder).where(this_trigger))
            result = grant_lease(model, trigger, holder, at, granted_to=granted_to, lease=held)
            if result.granted:
                until = (at + lease).isoformat()
                db.execute(sa.update(LEASES).where(this_model).values(holder=holder, until=until))
            if result.granted and granted_to is None:
                granted = {"model": model, "trigger": trigger, "holder": holder, "at": at.isoformat()}
                db.execute(sa.insert(CLAIMS).values(**granted))
        return result

    def lease_holder(self, model: str, at: datetime) -> str | None:
        """See :meth:`homeostat.ports.Ledger.lease_holder`."""
        with self._connect(self._read_engine) as db:
            row = db.execute(sa.select(LEASES).where(LEASES.c.model == model)).mappings().first()
        if row is None or not row["holder"] or datetime.fromisoformat(row["until"]) <= at:
            return None
        return str(row["holder"])

    def release_lease(self, model: str, holder: str) -> None:
        """See :meth:`homeostat.ports.Ledger.release_lease`."""
        mine = (LEASES.c.model == model) & (LEASES.c.holder == holder)
        with self._connect(self._engine) as db:
            db.execute(sa.update(LEASES).where(mine).values(holder="", until=_NEVER.isoformat()))

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @contextmanager
    def _connect(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        """Run one transaction; raise Unavailable when the database cannot be reached."""
        try:
            if not self._ready:
                with self._setup:
                    if not self._ready:
                        create_tables(self._engine)
                        self._ready = True
            with engine.begin() as connection:
                yield connection
        except exc.IntegrityError:
            raise  # duplicate key: handled by the caller
        except (exc.DBAPIError, exc.TimeoutError) as error:
            where = self._engine.url.render_as_string(hide_password=True)
            msg = f"the ledger at {where} does not answer: {_first_line(error)}"
            raise Unavailable(msg) from error


def _revision(db: sa.Connection, model: str) -> int:
    return int(db.scalar(sa.select(TRAFFIC.c.revision).where(TRAFFIC.c.model == model)) or 0)


def _event(row: sa.RowMapping) -> Event:
    return Event(
        model=row["model"],
        revision=row["revision"],
        at=datetime.fromisoformat(row["at"]),
        kind=row["kind"],
        reason=row["reason"],
        by=row["by"],
        traffic=json.loads(row["traffic"]),
        evidence=json.loads(row.get("evidence", "{}")),
    )


def _first_line(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
