"""The ledger's database, read without creating its tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound, Unavailable
from homeostat.doctor.clock_skew import ahead

if TYPE_CHECKING:
    from homeostat.core.rollout import Traffic


@dataclass(frozen=True, slots=True)
class LedgerReader:
    """The ledger as it was found. ``offset`` is how far its clock is ahead; None on this very machine."""

    engine: Any
    missing: tuple[str, ...]
    offset: timedelta | None

    def traffic(self, model: str) -> Traffic:
        """As :meth:`homeostat.ports.Ledger.read`, but it makes no tables."""
        import json

        import sqlalchemy as sa

        from homeostat.adapters.ledger_tables import TRAFFIC
        from homeostat.core.rollout import Traffic

        with self.engine.connect() as db:
            state = db.scalar(sa.select(TRAFFIC.c.state).where(TRAFFIC.c.model == model))
        return Traffic(model) if state is None else Traffic.from_json(json.loads(state))

    def lease(self, model: str) -> tuple[str, datetime, datetime | None] | None:
        """Who holds the retrain lease, until when, and since when; None when nobody does."""
        import sqlalchemy as sa

        from homeostat.adapters.ledger_tables import CLAIMS, LEASES

        with self.engine.connect() as db:
            row = db.execute(sa.select(LEASES).where(LEASES.c.model == model)).mappings().first()
            if row is None or not row["holder"]:
                return None
            mine = (CLAIMS.c.model == model) & (CLAIMS.c.holder == row["holder"])
            since = db.scalar(sa.select(sa.func.min(CLAIMS.c.at)).where(mine))
        until = datetime.fromisoformat(row["until"])
        return row["holder"], until, datetime.fromisoformat(since) if since else None


def connect(url: str) -> LedgerReader:
    """Connect and look which tables there are, without making any.

    Raises
    ------
    NotFound
        It is a file, and not there.
    Unavailable, ConfigError
        Nothing answers, or the URL cannot be read.
    """
    import sqlalchemy as sa
    from sqlalchemy import exc

    from homeostat.adapters.ledger_tables import METADATA
    from homeostat.config.errors import ConfigError

    try:
        engine = _engine(url)
        asked = datetime.now(UTC)
        with engine.connect() as db:
            now = db.scalar(sa.text("select clock_timestamp()")) if _tells_time(engine) else None
            answered = datetime.now(UTC)
            there = set(sa.inspect(db).get_table_names())
    except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as error:
        msg = (
            f"HOMEOSTAT_LEDGER: not a database URL that works here ({error}); write sqlite:////path/ledger.db"
        )
        raise ConfigError(msg) from error
    except (exc.DBAPIError, exc.TimeoutError) as error:
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        msg = f"the ledger does not answer: {said}"
        raise Unavailable(msg) from error
    missing = tuple(sorted(set(METADATA.tables) - there))
    return LedgerReader(engine, missing, ahead(now.astimezone(UTC), asked, answered) if now else None)


def _engine(url: str) -> Any:
    """The adapter's own engine; a file is opened read-only, since opening it otherwise would make it."""
    import sqlalchemy as sa

    from homeostat.adapters.ledger_tables import make_engine

    parsed = sa.make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return make_engine(url)
    path = Path(parsed.database or "")
    if not path.is_file():
        msg = f"{path} is not there"
        raise NotFound(msg)
    return sa.create_engine(f"sqlite:///file:{path.absolute()}?mode=ro&uri=true", connect_args={"timeout": 5})


def _tells_time(engine: Any) -> bool:
    return bool(engine.dialect.name == "postgresql")
