"""The ledger's database, read without creating its tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound, Unavailable
from homeostat.doctor.clock_skew import clock_offset

if TYPE_CHECKING:
    from homeostat.core.rollout import Traffic


@dataclass(frozen=True, slots=True)
class Lease:
    """A retrain lease; ``since`` is None when the ledger has no record of when it was acquired."""

    holder: str
    until: datetime
    since: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """The ledger. ``offset`` is how far its clock is ahead of ours; None for SQLite."""

    engine: Any
    missing: tuple[str, ...]
    offset: timedelta | None

    def traffic(self, model: str) -> Traffic:
        """Return the same as :meth:`homeostat.ports.Ledger.read`, without creating tables."""
        import json

        import sqlalchemy as sa

        from homeostat.adapters.ledger_tables import TRAFFIC
        from homeostat.core.rollout import Traffic

        with self.engine.connect() as db:
            state = db.scalar(sa.select(TRAFFIC.c.state).where(TRAFFIC.c.model == model))
        return Traffic(model) if state is None else Traffic.from_json(json.loads(state))

    def lease(self, model: str) -> Lease | None:
        """Return the retrain lease, expired or not; None when it was released or never acquired."""
        import sqlalchemy as sa

        from homeostat.adapters.ledger_tables import CLAIMS, LEASES

        with self.engine.connect() as db:
            row = db.execute(sa.select(LEASES).where(LEASES.c.model == model)).mappings().first()
            if row is None or not row["holder"]:
                return None
            mine = (CLAIMS.c.model == model) & (CLAIMS.c.holder == row["holder"])
            since = db.scalar(sa.select(sa.func.min(CLAIMS.c.at)).where(mine))
        until = datetime.fromisoformat(row["until"])
        return Lease(row["holder"], until, datetime.fromisoformat(since) if since else None)


def connect(url: str) -> LedgerReader:
    """Connect and list the missing tables, without creating them.

    Raises
    ------
    NotFound
        The URL names a file that does not exist.
    Unavailable, ConfigError
        The database does not respond, or the URL is invalid.
    """
    import sqlalchemy as sa
    from sqlalchemy import exc

    from homeostat.adapters.ledger_tables import METADATA
    from homeostat.config.errors import ConfigError

    try:
        engine = _engine(url)
        sent = datetime.now(UTC)
        with engine.connect() as db:
            now = db.scalar(sa.text("select clock_timestamp()")) if _has_own_clock(engine) else None
            received = datetime.now(UTC)
            tables = set(sa.inspect(db).get_table_names())
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as error:
        msg = f"HOMEOSTAT_LEDGER is not a usable database URL ({error}); write sqlite:////path/ledger.db"
        raise ConfigError(msg) from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        reason = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        msg = f"the ledger does not respond: {reason}"
        raise Unavailable(msg) from error
    missing = tuple(sorted(set(METADATA.tables) - tables))
    return LedgerReader(engine, missing, clock_offset(now.astimezone(UTC), sent, received) if now else None)


def _engine(url: str) -> Any:
    """Return the adapter's engine, but open a SQLite file read-only, so that it is not created."""
    import sqlalchemy as sa

    from homeostat.adapters.ledger_tables import make_engine

    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return make_engine(url)
    path = Path(parsed.database or "")
    if not path.is_file():
        msg = f"the file {path} does not exist"
        raise NotFound(msg)
    return sa.create_engine(f"sqlite:///file:{path.absolute()}?mode=ro&uri=true", connect_args={"timeout": 5})


def _has_own_clock(engine: Any) -> bool:
    return bool(engine.dialect.name == "postgresql")
