"""Check the statistics of categories (CTR) in a ``cbm`` file, which CatBoost reads without any verification.

They follow the core: their number, then for each table its size and a flatbuffer of CatBoost's
``ctr_data.fbs`` (TCtrValueTable). A table has a hash index from categories to rows, and the rows. An
evaluation walks the index to the hash or to an empty bucket, and reads the row that the bucket names.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from homeostat.bundle.boosters.flatbuffer import Table, number
from homeostat.bundle.boosters.trees import check_range, refuse

#: The only part that may follow the core.
_PART = b"static_provider_v1"
_PARTS = 3  # field of TModelCore
_BASE, _INDEX, _ROWS, _CLASSES = 0, 1, 2, 4  # fields of TCtrValueTable
_COMBINATION, _TYPE, _CLASSIFIER = 0, 1, 2  # fields of TModelCtrBase
_BORDERS, _BUCKETS, _BINARIZED_MEAN, _FLOAT_MEAN, _COUNTER, _FREQUENCY = range(6)  # ECtrType
_BUCKET = np.dtype([("hash", "<u8"), ("row", "<u4")])
_EMPTY = 0xFFFFFFFFFFFFFFFF
_LONG_SIZE = 0xFFFFFFFF


def check_ctrs(core: Table, features: list[Table], rest: bytes) -> None:
    """Raise Untrusted unless each feature's statistics are there, and each row that an index names.

    Parameters
    ----------
    core
        TModelCore.
    features
        TCtrFeature of the trees.
    rest
        What follows the core.

    Raises
    ------
    struct.error, ValueError
        The bytes end where a number should be.
    """
    parts = core.texts(_PARTS)
    if parts not in ([], [_PART]):
        raise refuse("a part that is not supported")
    known: dict[Any, int] = {}
    for table in _tables(rest) if parts else ():
        key = _key(table.table(_BASE))
        if key in known:
            raise refuse("statistics of a category twice")
        known[key] = _check_table(table, key[0])
    for feature in features:
        ctr = feature.table(0)
        key = _key(ctr.table(0))
        if key not in known:
            raise refuse("a category without its statistics")
        if key[0] in (_BORDERS, _BUCKETS):
            check_range(np.array([ctr.scalar(1, "<i")]), known[key], "a class of the statistics")


def _tables(rest: bytes) -> Iterator[Table]:
    """Yield each table of a file; its size is that of the flatbuffer, which ends there for all reads."""
    count, at = number("<I", rest, 0), 4
    for _ in range(count):
        size = number("<I", rest, at)
        if _LONG_SIZE in (count, size) or at + 4 + size > len(rest):
            raise refuse("statistics outside the file")
        yield Table.root(rest[at + 4 : at + 4 + size])
        at += 4 + size
    if at != len(rest):
        raise refuse("bytes behind its statistics")


def _key(base: Table) -> tuple[int, int, bytes, bytes, bytes]:
    """Return what CatBoost finds the statistics of a feature by: type, classifier and combination."""
    combination = base.table(_COMBINATION)
    if not all(combination.offset(field) for field in range(3)):
        raise refuse("a combination without its features")
    categories, *splits = (
        combination.vector(field, kind).tobytes() for field, kind in enumerate(("<i4", "<i8", "<i8"))
    )
    return base.scalar(_TYPE, "<b"), base.scalar(_CLASSIFIER, "<i"), categories, splits[0], splits[1]


def _check_table(table: Table, kind: int) -> int:
    """Check the index of a table; return how many classes its rows tell apart."""
    if not table.offset(_INDEX) or not table.offset(_ROWS):
        raise refuse("statistics without their rows")
    raw, rows = table.vector(_INDEX, "u1"), table.vector(_ROWS, "u1")
    table.scalar(3, "<i")
    classes = table.scalar(_CLASSES, "<i")
    if kind in (_COUNTER, _FREQUENCY):
        width = 4
    elif kind in (_BINARIZED_MEAN, _FLOAT_MEAN):
        width = 8
    elif kind in (_BORDERS, _BUCKETS) and classes >= 1:
        width = 4 * (max(classes, 2) if kind == _BORDERS else classes)
    else:
        raise refuse("statistics of an unknown kind")
    if len(raw) % _BUCKET.itemsize:
        raise refuse("a part of a bucket")
    buckets = raw.view(_BUCKET)
    used = buckets["hash"] != _EMPTY
    if not len(buckets) or len(buckets) & (len(buckets) - 1) or used.all():
        raise refuse("an index without an end")
    check_range(buckets["row"][used].astype(np.int64), len(rows) // width, "a row of the statistics")
    return max(classes, 2)
