"""A Parquet file into a profile: column by column, a batch at a time, whatever its length."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import Any

import numpy as np
import pyarrow as pa

from homeostat.core.profile.arrow import arrow_numbers, is_text
from homeostat.core.profile.binning import CHUNK, place_numbers
from homeostat.core.profile.counting import count_arrow
from homeostat.core.profile.edges import FeatureFrame, Frames, NumberFrame
from homeostat.core.profile.histogram import Counts, Profile
from homeostat.core.profile.parallel import spread

#: Batches of codes may be larger: what each of them costs besides is spelling its dictionary once.
LABELS = 4 * CHUNK


def count_parquet(
    frames: Frames, path: str | PathLike[str], *, filesystem: Any = None, threads: int | None = None
) -> Profile:
    """Count the rows of one Parquet file: the profile that :func:`~homeostat.core.profile.count` makes.

    Only the columns that the frames name are read, each from end to end by one thread and counted
    while it is still in the core's cache; text comes as codes where the file holds a dictionary. So
    memory holds one batch and one column's compressed pages a thread, not the file. Profiles of
    several files add up.

    Parameters
    ----------
    filesystem
        A ``pyarrow.fs.FileSystem`` that ``path`` lies in; None is this machine's own.
    threads
        How many columns at once; see :func:`~homeostat.core.profile.parallel.spread` for what None takes.

    Raises
    ------
    ValueError
        A column that the frames name stands twice in the file.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, filesystem=filesystem) as file:
        metadata, schema = file.metadata, file.schema_arrow
    rows = metadata.num_rows

    def work(name: str) -> Counts:
        shape = frames.features[name]
        there = schema.names.count(name)
        if not there:
            return count_arrow(shape, pa.nulls(rows))
        if there > 1:
            msg = f"column {name!r} stands {there} times in {path}: keep one of them"
            raise ValueError(msg)
        kind = schema.field(name).type
        as_codes = [name] if shape.kind == "category" and is_text(kind) else None
        # Without a buffer ahead: that would hold the column's pages of the whole file at once.
        with pq.ParquetFile(
            path, filesystem=filesystem, metadata=metadata, read_dictionary=as_codes, pre_buffer=False
        ) as one:
            size = CHUNK if shape.kind == "number" else LABELS
            batches = one.iter_batches(batch_size=size, columns=[name], use_threads=False)
            return _count(shape, kind, (batch.column(0) for batch in batches))

    found = spread(work, frames.features, values=rows * len(frames.features), threads=threads)
    return Profile(frames, rows, dict(zip(frames.features, found, strict=True)))


def _count(shape: FeatureFrame, kind: pa.DataType, arrays: Iterable[pa.Array]) -> Counts:
    if isinstance(shape, NumberFrame):
        pieces = arrow_numbers(kind, arrays)
        if pieces is not None:
            return place_numbers(shape, pieces)
    nothing = Counts(shape, np.zeros(shape.size, dtype=np.int64))
    return sum((count_arrow(shape, array) for array in arrays), nothing)
