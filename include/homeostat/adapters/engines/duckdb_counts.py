"""Count a table of DuckDB: the engine runs in this process, and so does the counting of its vectors.

Parquet files on this machine are read by Arrow, column by column: DuckDB would copy each value twice, which
costs more than to read and count it. DuckDB's ``histogram(x, edges)`` counts numbers, too, and takes longer.
benchmarks/sources.py measures both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from homeostat.adapters.engines.batches import duckdb_batches
from homeostat.core.profile import ProfileEdges, count_parquet
from homeostat.core.profile.grouped import (
    GroupedProfiles,
    Grouping,
    add_groups,
    count_groups,
    group_columns,
)
from homeostat.core.profile.parallel import MAX_THREADS, available_cores

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

_ROWS = 65_536
_FILES = "SELECT file FROM glob(?) ORDER BY file"


def count_in_process(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> GroupedProfiles:
    """Count each batch of one query while the engine makes the next ones; memory holds a few batches."""
    files = [] if by else _files_as_they_are(table, edges)
    if files:
        profiles = [count_parquet(edges, path) for path in files]
        return add_groups({(): each} for each in profiles if each.rows)
    names = set(table.names)
    columns = [name for name in dict.fromkeys([*edges.features, *group_columns(by)]) if name in names]
    selected = table.relation.select(*(columns or list(table.names)[:1]))
    sql = table.backend.compile(selected)
    threads = min(MAX_THREADS, available_cores())
    total: GroupedProfiles = {}
    waiting: deque[Future[GroupedProfiles]] = deque()

    def count(batch: pa.RecordBatch) -> GroupedProfiles:
        return count_groups(edges, batch, by)

    with ThreadPoolExecutor(threads, thread_name_prefix="homeostat-count") as pool:
        for batch in duckdb_batches(table.backend, sql, _ROWS):
            waiting.append(pool.submit(count, batch))
            if len(waiting) > 2 * threads:
                total = add_groups([total, waiting.popleft().result()])
        return add_groups([total, *(each.result() for each in waiting)])


def _files_as_they_are(table: EngineTable, edges: ProfileEdges) -> list[str]:
    """Return the Parquet files that are the table; [] where DuckDB has to put the table together.

    It has to for a query or filter, for columns made of folder names (``month=2026-01``), for files whose
    types differ, and for files of another kind or place.
    """
    location = table.location
    if not (table.complete and location.files) or "://" in location.files:
        return []
    names = [name for name in edges.features if name in table.names]
    found = [path for (path,) in table.backend.con.execute(_FILES, [_pattern(location.files)]).fetchall()]
    types = None
    for path in found:
        if not path.endswith(".parquet"):
            return []
        schema = pq.read_schema(path)
        own = [schema.field(name).type if schema.names.count(name) == 1 else None for name in names]
        if None in own or (types is not None and own != types):
            return []
        types = own
    return found


def _pattern(files: str) -> str:
    path = Path(files)
    return str(path / "**/*.parquet") if path.is_dir() else files
