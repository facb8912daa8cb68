"""Rows of Spark as Arrow batches, one partition in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import pyarrow as pa


def arrow_batches(backend: Any, sql: str, rows: int) -> Iterator[pa.RecordBatch]:
    """Run a query; each of its batches comes to the driver as the bytes that Arrow writes."""
    frame = backend._session.sql(sql)  # noqa: SLF001  # Ibis has no name for it
    packed = frame.mapInArrow(partial(_pack, rows), "batch binary")
    for row in packed.toLocalIterator():
        with pa.ipc.open_stream(row.batch) as reader:
            yield from reader


def _pack(rows: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, rows):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch.slice(start, rows))
            yield pa.record_batch({"batch": pa.array([sink.getvalue().to_pybytes()], pa.binary())})
