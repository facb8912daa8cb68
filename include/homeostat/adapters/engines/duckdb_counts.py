"""Count a table of DuckDB: the engine runs in this process, and so does the counting of its vectors.

DuckDB's ``histogram(x, edges)`` counts numbers, too, and takes longer: benchmarks/sources.py measures it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pyarrow as pa

from homeostat.adapters.engines.batches import duckdb_batches
from homeostat.core.profile import ProfileEdges
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


def count_in_process(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> GroupedProfiles:
    """Count each batch of one query while the engine makes the next ones; memory holds a few batches."""
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
