"""Rows of an engine's table as Arrow batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable


def read_batches(table: EngineTable, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
    """Read these columns in batches of about so many rows."""
    selected = table.relation.select(*columns)
    if table.location.engine == "duckdb":
        yield from duckdb_batches(table.backend, table.backend.compile(selected), rows)
    elif table.location.engine == "spark":
        yield from _spark_batches(table, selected, rows)
    else:
        selected = selected.mutate(
            **{name: selected[name].cast("float64") for name in _loose_decimals(selected)}
        )
        yield from table.backend.to_pyarrow_batches(selected, chunk_size=rows)


def duckdb_batches(backend: Any, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Run a query of DuckDB; other queries of the connection wait until all batches are read."""
    reader = backend.con.sql(sql).to_arrow_reader(rows)
    try:
        yield from reader
    finally:
        reader.close()


def _loose_decimals(selected: Any) -> list[str]:
    """Return the columns of decimals without a scale, which Arrow has no type for."""
    return [name for name, kind in selected.schema().items() if kind.is_decimal() and kind.precision is None]


def _spark_batches(table: EngineTable, selected: Any, rows: int) -> Iterator[pa.RecordBatch]:
    """Read partition by partition: each comes to the driver as Arrow's own bytes."""
    from homeostat.adapters.engines.spark_rows import arrow_batches

    yield from arrow_batches(table.backend, table.backend.compile(selected), rows)
