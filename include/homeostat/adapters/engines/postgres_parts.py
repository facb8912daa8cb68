"""Divide a table of PostgreSQL into parts that several of its processes count at the same time.

PostgreSQL hashes grouping sets in one process. Of parts joined by UNION ALL, each process hashes one. A part
has the rows at some places of the table, by a hash: each process passes over all rows, which costs little
beside counting them, and the parts are alike in any window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

#: Smaller tables are counted by one process, in less time than it takes to start others.
MIN_BYTES = 8 * 2**20
#: A process takes a part as a whole; it does not divide its scan once more.
PARTS_SETTINGS = "SET LOCAL min_parallel_table_scan_size = '5TB'"
# Only a table of the database has places of rows; those of a temporary one no other process can read.
_PROCESSES = """
    SELECT CASE WHEN relkind = 'p' OR pg_table_size(oid) >= %s
        THEN current_setting('max_parallel_workers_per_gather')::int4 + 1 ELSE 1 END
    FROM pg_class WHERE oid = to_regclass(%s) AND relkind IN ('r', 'm', 'p') AND relpersistence <> 't'
        AND to_regproc('pg_catalog.hashtid') IS NOT NULL
"""


def disjoint_parts(table: EngineTable) -> list[Any]:
    """Return Ibis's relations of the parts, as many as processes that the server gives a query.

    A query, a view or a small table is one part.
    """
    from ibis.expr import operations

    whole = table.relation.op()
    tables = whole.find(operations.DatabaseTable)
    if len(tables) != 1 or whole.find(operations.SQLQueryResult):
        return [table.relation]
    name = ".".join(_quoted(part) for part in (tables[0].namespace.database, tables[0].name) if part)
    found = table.backend.con.execute(_PROCESSES, [MIN_BYTES, name]).fetchone()
    parts = found[0] if found else 1
    if parts == 1:
        return [table.relation]
    rows = [
        f"SELECT * FROM {name} WHERE (hashtid(ctid) & 2147483647) % {parts} = {part}"  # noqa: S608
        for part in range(parts)
    ]
    return [
        whole.replace(
            {tables[0]: operations.SQLQueryResult(each, tables[0].schema, tables[0].source)}
        ).to_expr()
        for each in rows
    ]


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
