"""The ledger's tables, and an engine that creates them safely from concurrent processes."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

METADATA = sa.MetaData()

TRAFFIC = sa.Table(
    "homeostat_traffic",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
)

EVENTS = sa.Table(
    "homeostat_events",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("traffic", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
)

#: Counts of ``span`` seconds, starting at ``second``. A gateway writes only its own rows.
EVIDENCE = sa.Table(
    "homeostat_evidence",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("rollout", sa.String(255), primary_key=True),
    sa.Column("gateway", sa.String(255), primary_key=True),
    sa.Column("second", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("span", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("stage", sa.String(64), primary_key=True),
    sa.Column("variant", sa.String(64), primary_key=True),
    sa.Column("tally", sa.Text, nullable=False),
)

#: The last evidence batch that a gateway added to a rollout: no batch is counted twice.
BATCHES = sa.Table(
    "homeostat_batches",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("rollout", sa.String(255), primary_key=True),
    sa.Column("gateway", sa.String(255), primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
)

#: The holder that each trigger was granted to; never deleted, so that a trigger is handled once.
CLAIMS = sa.Table(
    "homeostat_claims",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("trigger", sa.String(255), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
)

#: One row per model, inserted at its first lease, so that there is always a row to lock.
LEASES = sa.Table(
    "homeostat_leases",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.String(40), nullable=False),
)

#: What pages show, see :class:`homeostat.ports.HealthRecord`; ``at`` in milliseconds since 1970.
RECORDS = sa.Table(
    "homeostat_health_records",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("rank", sa.BigInteger, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Index("homeostat_health_records_at", "model", "kind", "at"),
)

_BUSY_MS = 5_000
_SETUP_LOCK = 0x486F6D656F  # an arbitrary number, the same in every Homeostat process


def make_engine(url: str) -> sa.Engine:
    """Create an engine, not connected yet, whose calls fail within seconds during an outage."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        limits = _postgres_limits(parsed)
        return sa.create_engine(parsed, pool_pre_ping=True, pool_timeout=5, connect_args=limits)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": _BUSY_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgres_limits(url: sa.URL) -> dict[str, Any]:
    """Return the connection arguments that bound every call to PostgreSQL."""
    if url.drivername not in ("postgresql", "postgresql+psycopg2"):
        return {"connect_timeout": 3} if url.get_backend_name() == "postgresql" else {}
    from homeostat.adapters.pg_timeouts import LIBPQ_SETTINGS, TimedConnection

    settings = {name: value for name, value in LIBPQ_SETTINGS.items() if name not in url.query}
    return {**settings, "connection_factory": TimedConnection}


def create_tables(engine: sa.Engine) -> None:
    """Create missing tables; safe when several processes do so at the same time."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SETUP_LOCK)))
        METADATA.create_all(connection)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # _begin_sqlite begins the transactions, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    deadline = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # When several connections open a new file, one changes its mode. The others fail at once with
            # "locked": busy_timeout does not apply to this statement.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads and then writes fails when another one wrote in between. BEGIN IMMEDIATE
    # takes the write lock at the start and waits for it.
    reads = connection.get_execution_options().get("homeostat_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
