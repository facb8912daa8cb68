"""Checks of trees from untrusted files: the libraries follow a tree's indices unchecked."""

from __future__ import annotations

from typing import Any

import numpy as np

from homeostat.config.errors import Untrusted


def refuse(what: str, detail: str = "") -> Untrusted:
    """Return the error for a booster's file that its library would read wrongly."""
    msg = f"a booster in the bundle has {what}{detail}: the file was manipulated and is not loaded"
    return Untrusted(msg)


def integers(values: Any) -> np.ndarray:
    """Return a list of whole numbers as int64, shape (n,); Untrusted for all else."""
    found = np.asarray(values)
    if found.size == 0:
        return np.zeros(0, dtype=np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu" or found.dtype.itemsize > np.dtype(np.int64).itemsize:
        raise refuse("a list that is not of whole numbers")
    return found.astype(np.int64)


def check_range(values: np.ndarray, end: int, what: str) -> None:
    """Raise Untrusted unless all values are in [0, end)."""
    if values.size and not (values.min() >= 0 and values.max() < end):
        raise refuse(what, " outside its range")


def check_children(children: np.ndarray, nodes: int) -> None:
    """Raise Untrusted unless each node but the first is the child of at most one, so that no walk is endless.

    Parameters
    ----------
    children
        The children of all inner nodes, shape (n,).
    nodes
        The number of nodes; the first is the root.
    """
    check_range(children - 1, nodes - 1, "a node")
    if len(np.unique(children)) != len(children):
        raise refuse("a node with two parents")


def check_segments(edges: np.ndarray, end: int, what: str) -> None:
    """Raise Untrusted unless the edges ascend from 0 to ``end``."""
    if not edges.size or edges[0] != 0 or edges[-1] != end or (np.diff(edges) < 0).any():
        raise refuse(what, " outside its range")
