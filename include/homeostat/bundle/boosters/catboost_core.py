"""Check the trees of a ``cbm`` file of CatBoost, which verifies offsets but not what indices point to.

The file begins with ``CBM1``, the size of its core, and the core: a flatbuffer with the tables of CatBoost's
``model.fbs`` (TModelCore, TModelTrees). Read here are only the numbers that decide where an evaluation reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np

from homeostat.bundle.boosters.trees import check_range, refuse

MAGIC = b"CBM1"
#: Fields of TModelTrees.
_DIMENSION, _SPLITS, _SIZES, _STARTS = 0, 1, 2, 3
_FLOATS, _ONE_HOTS, _CTRS, _LEAVES = 5, 6, 7, 8
_STEPS, _LEAF_IDS, _TEXTS, _ESTIMATED, _REPACKED, _EMBEDDINGS = 10, 11, 12, 13, 17, 18
#: Borders of one feature that share a byte of the quantized row.
_PER_BIN = 254
_NO_LEAF = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a flatbuffer: where it is in the data."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Self:
        return cls(data, _number("<I", data, 0))

    def offset(self, field: int) -> int:
        """Return where a field is; 0 where the table has none."""
        vtable = self.at - _number("<i", self.data, self.at)
        if vtable < 0 or 4 + 2 * field + 2 > _number("<H", self.data, vtable):
            return 0
        inside = _number("<H", self.data, vtable + 4 + 2 * field)
        return self.at + inside if inside else 0

    def vector(self, field: int, kind: str) -> np.ndarray:
        """Return a vector of numbers of this NumPy type; empty where the table has none."""
        at = self.offset(field)
        if not at:
            return np.zeros(0, kind)
        at += _number("<I", self.data, at)
        count = _number("<I", self.data, at)
        return np.frombuffer(self.data, kind, count, at + 4)

    def table(self, field: int) -> _Table:
        at = self.offset(field)
        return _Table(self.data, at + _number("<I", self.data, at))

    def tables(self, field: int) -> list[_Table]:
        at = self.offset(field)
        if not at:
            return []
        at += _number("<I", self.data, at)
        first, count = at + 4, _number("<I", self.data, at)
        if count > len(self.data):
            raise refuse("more features than bytes")
        places = range(first, first + 4 * count, 4)
        return [_Table(self.data, place + _number("<I", self.data, place)) for place in places]


def check_core(data: bytes) -> None:
    """Raise Untrusted unless each split, node and leaf of the trees is one that the file has."""
    try:
        size = _number("<I", data, 4)
        if data[:4] != MAGIC or len(data) < 8 + size:
            raise refuse("no complete cbm file of CatBoost")
        _check_trees(_Table.root(data[8 : 8 + size]).table(1))
    except (struct.error, ValueError, OverflowError) as error:
        raise refuse("no complete cbm file of CatBoost", f" ({type(error).__name__})") from error


def _check_trees(trees: _Table) -> None:
    if any(trees.offset(field) and trees.tables(field) for field in (_TEXTS, _ESTIMATED, _EMBEDDINGS)):
        raise refuse("features of text or embeddings, which are not supported")
    at = trees.offset(_DIMENSION)
    dimension = _number("<i", trees.data, at) if at else 0
    borders = [len(each.vector(3, "<f4")) for each in trees.tables(_FLOATS)]
    borders += [len(each.vector(1, "<i4")) for each in trees.tables(_ONE_HOTS)]
    borders += [len(each.vector(1, "<f4")) for each in trees.tables(_CTRS)]
    splits = trees.vector(_SPLITS, "<i4").astype(np.int64)
    sizes = trees.vector(_SIZES, "<i4").astype(np.int64)
    starts = trees.vector(_STARTS, "<i4").astype(np.int64)
    leaves = len(trees.vector(_LEAVES, "<f8"))
    if len(sizes) != len(starts) or dimension < 1 or leaves % dimension:
        raise refuse("a tree too many or too few")
    check_range(splits, max(sum(borders), 1), "a split")
    ends = np.cumsum(sizes)
    if (sizes < 0).any() or not np.array_equal(starts, ends - sizes) or (ends[-1:] != len(splits)).any():
        raise refuse("a tree outside the file")
    packed = trees.vector(_REPACKED, "<u4")
    buckets = sum(-(-each // _PER_BIN) for each in borders)
    if len(packed) not in (0, len(splits)):
        raise refuse("a split too many or too few")
    check_range((packed & 0xFFFF).astype(np.int64), max(buckets, 1), "a split")
    steps = trees.vector(_STEPS, "<u4")
    if len(steps):
        _check_steps(trees, steps, starts, sizes, leaves)
    elif (sizes > 30).any() or int((1 << sizes).sum()) * dimension != leaves:
        raise refuse("a leaf too many or too few")


def _check_steps(
    trees: _Table, steps: np.ndarray, starts: np.ndarray, sizes: np.ndarray, leaves: int
) -> None:
    """Check trees whose nodes say how far behind them their children are; 0 is a leaf."""
    ids = trees.vector(_LEAF_IDS, "<u4").astype(np.int64)
    nodes = len(steps)
    if len(ids) != nodes or nodes != int(sizes.sum()):
        raise refuse("a node too many or too few")
    left, right = (steps & 0xFFFF).astype(np.int64), (steps >> 16).astype(np.int64)
    end = np.repeat(starts + sizes, sizes)
    if (np.arange(nodes) + np.maximum(left, right) >= end).any():
        raise refuse("a node outside its tree")
    check_range(ids[ids != _NO_LEAF], leaves, "a leaf")
    if (ids[(left == 0) | (right == 0)] == _NO_LEAF).any():
        raise refuse("a node without a leaf")


def _number(kind: str, data: bytes, at: int) -> int:
    if at < 0:
        raise refuse("an offset before its file")
    found: int = struct.unpack_from(kind, data, at)[0]
    return found
