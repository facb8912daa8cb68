"""Count a Parquet file into a profile: column by column, one batch at a time, whatever its length."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

import pyarrow as pa

from homeostat.core.profile.arrow import arrow_numbers, is_text
from homeostat.core.profile.binning import CHUNK, bin_numbers
from homeostat.core.profile.counting import count_arrow_column
from homeostat.core.profile.edges import FeatureEdges, NumberEdges, ProfileEdges
from homeostat.core.profile.histogram import FeatureCounts, Profile
from homeostat.core.profile.parallel import run_parallel

#: Rows per batch of dictionary codes: larger, because each batch spells its dictionary once.
LABELS = 4 * CHUNK


def count_parquet(
    edges: ProfileEdges, path: str | PathLike[str], *, filesystem: Any = None, threads: int | None = None
) -> Profile:
    """Count the rows of one Parquet file, with the same result as :func:`count_dataframe`.

    Only columns with edges are read, each from end to end by one thread and counted while it is still in
    the core's cache; text is read as codes where the file holds a dictionary. Memory therefore holds one
    batch and one column's compressed pages per thread, not the file. Profiles of several files add up.

    Parameters
    ----------
    filesystem
        The ``pyarrow.fs.FileSystem`` of ``path``; None is the local one.
    threads
        Columns counted at once; None as in :func:`~homeostat.core.profile.parallel.run_parallel`.

    Raises
    ------
    ValueError
        The file has two columns of a name that has edges.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, filesystem=filesystem) as file:
        metadata, schema = file.metadata, file.schema_arrow
    rows = metadata.num_rows

    def work(name: str) -> FeatureCounts:
        each = edges.features[name]
        times = schema.names.count(name)
        if not times:
            return count_arrow_column(each, pa.nulls(rows))
        if times > 1:
            msg = f"duplicate column {name!r} in {path} ({times} times): keep one of them"
            raise ValueError(msg)
        arrow_type = schema.field(name).type
        as_codes = [name] if each.kind == "category" and is_text(arrow_type) else None
        # No pre-buffering: it would hold the column's pages of the whole file at once.
        with pq.ParquetFile(
            path, filesystem=filesystem, metadata=metadata, read_dictionary=as_codes, pre_buffer=False
        ) as one:
            size = CHUNK if each.kind == "number" else LABELS
            batches = one.iter_batches(batch_size=size, columns=[name], use_threads=False)
            return _count(each, arrow_type, (batch.column(0) for batch in batches))

    found = run_parallel(work, edges.features, values=rows * len(edges.features), threads=threads)
    return Profile(edges, rows, dict(zip(edges.features, found, strict=True)))


def _count(edges: FeatureEdges, arrow_type: pa.DataType, arrays: Iterable[pa.Array]) -> FeatureCounts:
    if isinstance(edges, NumberEdges):
        pieces = arrow_numbers(arrow_type, arrays)
        if pieces is not None:
            return bin_numbers(edges, pieces)
    return sum((count_arrow_column(edges, array) for array in arrays), FeatureCounts.empty(edges))
