"""Count a table of Spark: its workers count their own Arrow batches by the local path, and return the counts.

The workers need Homeostat's package, as they need that of every other function in Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from homeostat.core.profile import Profile, ProfileEdges
from homeostat.core.profile.grouped import (
    GroupedProfiles,
    Grouping,
    add_groups,
    count_groups,
    group_columns,
)

if TYPE_CHECKING:
    from homeostat.adapters.engines.table import EngineTable

_SCHEMA = "key string, counts binary"


def count_in_workers(table: EngineTable, edges: ProfileEdges, by: Sequence[Grouping]) -> GroupedProfiles:
    """See :meth:`~homeostat.adapters.engines.table.EngineTable.profile_groups`."""
    names = set(table.names)
    columns = [name for name in dict.fromkeys([*edges.features, *group_columns(by)]) if name in names]
    selected = table.relation.select(*(columns or list(table.names)[:1]))
    frame = table.backend._session.sql(table.backend.compile(selected))  # noqa: SLF001  # Ibis has no name for it
    counted = frame.mapInArrow(partial(_count_partition, edges, tuple(by)), _SCHEMA)
    return add_groups(
        {tuple(json.loads(row.key)): Profile.from_array(np.frombuffer(row.counts, np.int64), edges)}
        for row in counted.toLocalIterator()
    )


def _count_partition(
    edges: ProfileEdges, by: Sequence[Grouping], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Count a partition in its worker; one row per group."""
    found = add_groups(count_groups(edges, batch, by) for batch in batches)
    keys = [json.dumps(key) for key in found]
    counts = [profile.to_array().astype(np.int64).tobytes() for profile in found.values()]
    yield pa.record_batch({"key": pa.array(keys, pa.string()), "counts": pa.array(counts, pa.binary())})
