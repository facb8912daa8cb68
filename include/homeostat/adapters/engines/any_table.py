"""Open a table by its address: files are read here, an engine counts its own rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from homeostat.adapters.engines.location import is_engine_url, parse_location
from homeostat.adapters.engines.table import EngineTable
from homeostat.adapters.tables import Table, open_table


@contextmanager
def open_any_table(address: str) -> Iterator[Table | EngineTable]:
    """Open a file, a folder, ``s3://``, or the URL of an engine such as ``duckdb://`` or ``postgresql://``.

    Raises
    ------
    HomeostatError
        It cannot be opened; the message says what to do.
    """
    if not is_engine_url(address):
        yield open_table(address)
        return
    from homeostat.adapters.engines.connect import open_engine

    with open_engine(parse_location(address)) as table:
        yield table
