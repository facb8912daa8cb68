"""The ledger's tables, and how they come into being however many processes start at once."""

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

#: One row counts ``span`` seconds from ``second`` on. A gateway writes its own rows only.
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

#: The last batch of counts that a gateway added to a rollout, so that none is counted twice.
BATCHES = sa.Table(
    "homeostat_batches",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("rollout", sa.String(255), primary_key=True),
    sa.Column("gateway", sa.String(255), primary_key=True),
    sa.Column("batch", sa.BigInteger, nullable=False),
)

#: Which holder a trigger was granted to; never deleted, so that no trigger is answered twice.
CLAIMS = sa.Table(
    "homeostat_claims",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("trigger", sa.String(255), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("at", sa.String(40), nullable=False),
)

#: One row per model, made at its first claim, so that there is always a row to lock.
LEASES = sa.Table(
    "homeostat_leases",
    METADATA,
    sa.Column("model", sa.String(64), primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until", sa.String(40), nullable=False),
)

_BUSY_MS = 5_000
_SETUP_LOCK = 0x486F6D656F  # any number will do, as long as every Homeostat takes the same


def make_engine(url: str) -> sa.Engine:
    """Make an engine that gives up within seconds when its database is away; nothing is connected yet."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        limits: dict[str, Any] = {}
        if parsed.get_backend_name() == "postgresql":
            limits["connect_timeout"] = 3
        if parsed.drivername in ("postgresql", "postgresql+psycopg2"):
            from homeostat.adapters.pg_timeouts import Deadlined

            limits["connection_factory"] = Deadlined
        return sa.create_engine(parsed, pool_pre_ping=True, pool_timeout=5, connect_args=limits)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = sa.create_engine(parsed, connect_args={"timeout": _BUSY_MS / 1000})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def create_tables(engine: sa.Engine) -> None:
    """Create what is not there; any number of processes may do so at the same time."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SETUP_LOCK)))
        METADATA.create_all(connection)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    end = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            # Of several that open a new file at once, one changes its mode; for this alone the others do not
            # wait as busy_timeout says, but are told at once that it is locked.
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.01)
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads first and writes later would fail when another wrote in between:
    # whoever means to write says so at once and waits for its turn.
    reads = connection.get_execution_options().get("homeostat_reads")
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
