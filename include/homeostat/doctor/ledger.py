"""The ledger: in reach, with its tables; and who holds the right of way, since when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound, Unavailable
from homeostat.config.redaction import without_userinfo
from homeostat.doctor.check import Finding, broken, ok, span, warning
from homeostat.doctor.clock_skew import ahead

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat.core.rollout import Traffic
    from homeostat.doctor.deployment import Deployment

#: From the right of way to the rollout: rows, fit, holdout, gate, register.
PATIENCE = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Books:
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
        """Who holds the right of way, until when, and since when; None when nobody does."""
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


def reach(url: str) -> Books:
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
    return Books(engine, missing, ahead(now.astimezone(UTC), asked, answered) if now else None)


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


def look(deployment: Deployment) -> Finding:
    """In reach, and with its tables."""
    try:
        books = deployment.ledger.get()
    except NotFound as error:
        return warning(
            f"{error}: nothing was ever recorded here",
            "`homeostat up` or a retrain makes it; if there was one, HOMEOSTAT_LEDGER points elsewhere",
        )
    if books.missing:
        return broken(
            f"the database answers, without {', '.join(books.missing)}",
            "start a gateway or a retrain once: whoever uses the ledger first makes its tables",
        )
    return ok("answers, and has its tables")


def about(deployment: Deployment) -> str:
    """The ledger's address, without a password."""
    return without_userinfo(deployment.settings.ledger)


def books_of(deployment: Deployment) -> Books:
    """The ledger for a check that is about something else."""
    from homeostat.doctor.check import NotLookedAt

    books = deployment.ledger.needed()
    if books.missing:
        msg = "the ledger has no tables yet"
        raise NotLookedAt(msg)
    return books


def look_at_lease(deployment: Deployment, model: ModelConfig) -> Finding:
    """Nobody holds a model's right of way for longer than a retrain takes."""
    books, now = books_of(deployment), deployment.now()
    held = books.lease(model.name)
    if held is None or held[1] <= now:
        return ok("nobody is retraining it")
    holder, until, since = held
    active = books.traffic(model.name).active
    if active is not None and active.id == holder:
        return ok(f"version {active.candidate.version} is on its way: {active.phase}")
    lasted = now - since if since is not None else timedelta(0)
    if lasted <= PATIENCE:
        return ok(f"a retrain is under way, for {span(lasted)}")
    return warning(
        f"retrain {holder} has held the right of way for {span(lasted)} without a rollout",
        f"look at retrain__{model.name} in Airflow: a run that is stuck, marked as failed, gives it back; "
        f"it ends by itself at {until:%Y-%m-%d %H:%M} UTC",
    )
