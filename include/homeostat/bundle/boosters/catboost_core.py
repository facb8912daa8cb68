"""Check the trees of a ``cbm`` file of CatBoost, which verifies offsets but not what indices point to.

The file begins with ``CBM1``, the size of its core, and the core: a flatbuffer with the tables of CatBoost's
``model.fbs`` (TModelCore, TModelTrees). Read here are only the numbers that decide where an evaluation reads.
Behind the core are the statistics of categories: :mod:`homeostat.bundle.boosters.catboost_ctrs`.
"""

from __future__ import annotations

import struct

import numpy as np

from homeostat.bundle.boosters.catboost_ctrs import check_ctrs
from homeostat.bundle.boosters.flatbuffer import Table, number
from homeostat.bundle.boosters.trees import check_range, integers, refuse

MAGIC = b"CBM1"
#: Fields of TModelTrees.
_DIMENSION, _SPLITS, _SIZES, _STARTS = 0, 1, 2, 3
_CATEGORIES, _FLOATS, _ONE_HOTS, _CTRS, _LEAVES, _WEIGHTS = 4, 5, 6, 7, 8, 9
_STEPS, _LEAF_IDS, _TEXTS, _ESTIMATED, _BIASES, _REPACKED, _EMBEDDINGS = 10, 11, 12, 13, 16, 17, 18
#: CatBoost reserves memory up to the largest number of a column.
_MAX_COLUMNS = 1 << 16
#: Borders of one feature that share a byte of the quantized row.
_PER_BIN = 254
_NO_LEAF = 0xFFFFFFFF


def check_core(data: bytes) -> None:
    """Raise Untrusted unless each split, node, leaf and statistic of the trees is in the file."""
    try:
        size = number("<I", data, 4)
        if data[:4] != MAGIC or len(data) < 8 + size:
            raise refuse("no complete cbm file of CatBoost")
        core = Table.root(data[8 : 8 + size])
        trees = core.table(1)
        _check_trees(trees)
        check_ctrs(core, trees.tables(_CTRS), data[8 + size :])
    except (struct.error, ValueError, OverflowError) as error:
        raise refuse("no complete cbm file of CatBoost", f" ({type(error).__name__})") from error


def _check_trees(trees: Table) -> None:
    if any(trees.offset(field) and trees.tables(field) for field in (_TEXTS, _ESTIMATED, _EMBEDDINGS)):
        raise refuse("features of text or embeddings, which are not supported")
    at = trees.offset(_DIMENSION)
    dimension = number("<i", trees.data, at) if at else 0
    _check_columns(trees)
    borders = [len(each.vector(3, "<f4")) for each in trees.tables(_FLOATS)]
    borders += [len(each.vector(1, "<i4")) for each in trees.tables(_ONE_HOTS)]
    borders += [len(each.vector(1, "<f4")) for each in trees.tables(_CTRS)]
    splits = trees.vector(_SPLITS, "<i4").astype(np.int64)
    sizes = trees.vector(_SIZES, "<i4").astype(np.int64)
    starts = trees.vector(_STARTS, "<i4").astype(np.int64)
    leaves = len(trees.vector(_LEAVES, "<f8"))
    if len(sizes) != len(starts) or dimension < 1 or leaves % dimension:
        raise refuse("a tree too many or too few")
    if len(trees.vector(_WEIGHTS, "<f8")) not in (0, leaves // dimension):
        raise refuse("a weight too many or too few")
    if len(trees.vector(_BIASES, "<f8")) not in (0, dimension):
        raise refuse("a bias too many or too few")
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
        _check_steps(trees, steps, starts, sizes, leaves - dimension + 1)
    elif len(trees.vector(_LEAF_IDS, "<u4")):
        raise refuse("a node too many")
    elif (sizes > 30).any() or int((1 << sizes).sum()) * dimension != leaves:
        raise refuse("a leaf too many or too few")


def _check_columns(trees: Table) -> None:
    """Check the numbers of the columns of all features, among all and among those of their kind."""
    among_all = []
    for field, at in ((_FLOATS, 1), (_CATEGORIES, 0)):
        features = trees.tables(field)
        own = [each.scalar(at, "<i", -1) for each in features]
        among_all += [each.scalar(at + 1, "<i", -1) for each in features]
        check_range(integers(own), _MAX_COLUMNS, "a column")
        if len(set(own)) != len(own):
            raise refuse("a column twice")
    check_range(integers(among_all), _MAX_COLUMNS, "a column")
    if len(set(among_all)) != len(among_all):
        raise refuse("a column twice")


def _check_steps(trees: Table, steps: np.ndarray, starts: np.ndarray, sizes: np.ndarray, leaves: int) -> None:
    """Check trees whose nodes say how far behind them their children are; 0 is a leaf.

    ``leaves`` ends the range of a leaf's first value.
    """
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
