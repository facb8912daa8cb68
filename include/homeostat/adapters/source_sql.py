"""Rows by a SQL query."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from homeostat.adapters.source_rows import expand, where_written
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, Unavailable

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


def read_sql(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """Run ``source.query``; ``:start`` and ``:end`` in it are bound to the window asked for.

    A query without them is right too, but brings the whole table every time.

    Raises
    ------
    DataError
        The database file is not there, or the query is not one that the database understands.
    Unavailable
        The database does not answer.
    """
    import sqlalchemy as sa
    from sqlalchemy import exc

    where = where_written(config, "source.uri")
    try:
        url = sa.make_url(expand(config, config.source.uri or ""))
        if url.get_backend_name() == "sqlite" and url.database:
            path = config.folder / url.database
            if not path.exists():  # SQLite would make an empty one
                msg = f"{where}: {path} is not there"
                raise DataError(msg)
            url = url.set(database=str(path))
        quick = {"connect_timeout": 5} if url.get_backend_name() == "postgresql" else {}
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args=quick)
    except (exc.ArgumentError, ImportError) as error:
        msg = f"{where}: not a database URL that works here ({error}); write postgresql+psycopg2://host/database"
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
        said = str(getattr(cause, "orig", cause)).strip().partition("\n")[0]
        # SQLite is never away; there an operational error is a query that is wrong.
        away = isinstance(cause, (exc.OperationalError, exc.InterfaceError))
        if away and url.get_backend_name() != "sqlite":
            msg = f"{where}: {url.render_as_string(hide_password=True)} does not answer: {said}"
            raise Unavailable(msg) from error
        msg = f"{where_written(config, 'source.query')}: the database refused the query: {said}"
        raise DataError(msg) from error
    finally:
        engine.dispose()
