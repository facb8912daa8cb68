"""Read rows by a SQL query."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from homeostat.adapters.source_rows import config_location, expand_variables
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, Unavailable

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def read_sql(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """Run ``source.query`` with ``:start`` and ``:end`` bound to the window.

    A query without these parameters works, but reads the whole table every time.

    Raises
    ------
    DataError
        The database file does not exist, or the database rejects the query.
    Unavailable
        The database does not answer.
    """
    import sqlalchemy as sa
    from sqlalchemy import exc

    where = config_location(config, f"{config.source.key}.uri")
    try:
        url = sa.make_url(expand_variables(config, config.source.uri or ""))
        if url.get_backend_name() == "sqlite" and url.database:
            path = config.folder / url.database
            if not path.exists():  # SQLite would create an empty one
                msg = f"{where}: {path} does not exist"
                raise DataError(msg)
            url = url.set(database=str(path))
        timeouts = {"connect_timeout": 5} if url.get_backend_name() == "postgresql" else {}
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=timeouts)
    except (exc.ArgumentError, ImportError) as error:
        msg = f"{where}: not a usable database URL ({error}); write postgresql+psycopg2://host/database"
        raise DataError(msg) from error
    query = sa.text(config.source.query or "")
    bound = {"start": start or _FIRST, "end": end or _LAST}
    used = [name for name in bound if name in query.compile().params]
    query = query.bindparams(*(sa.bindparam(name, bound[name], sa.DateTime(timezone=True)) for name in used))
    try:
        with engine.connect() as connection:
            return pd.read_sql_query(query, connection)
    except (exc.DBAPIError, pd.errors.DatabaseError) as error:
        cause = error if isinstance(error, exc.DBAPIError) else error.__cause__
        detail = str(getattr(cause, "orig", cause)).strip().partition("\n")[0]
        # With SQLite, a local file, an operational error means a wrong query.
        unreachable = isinstance(cause, (exc.OperationalError, exc.InterfaceError))
        if unreachable and url.get_backend_name() != "sqlite":
            msg = f"{where}: {url.render_as_string(hide_password=True)} does not answer: {detail}"
            raise Unavailable(msg) from error
        where = config_location(config, f"{config.source.key}.query")
        msg = f"{where}: the database rejected the query: {detail}"
        raise DataError(msg) from error
    finally:
        engine.dispose()
