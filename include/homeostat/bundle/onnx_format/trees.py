"""Write scikit-learn's decision trees as one TreeEnsemble of doubles, which predicts the same numbers.

skl2onnx's own converters round thresholds to float32 and send missing values another way, so some rows end
in other leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree: arrays over its nodes, children behind their parents, and what its leaves add to a target.

    A row goes to ``left`` where its feature is at most the threshold, or missing and ``missing_left``.
    """

    is_leaf: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    missing_left: np.ndarray
    value: np.ndarray
    target: int


def boosted_trees(estimator: Any) -> list[Tree]:
    """Return the trees of a fitted HistGradientBoosting estimator; their sums are its raw predictions.

    Raises
    ------
    ValueError
        It splits by categories.
    """
    found = []
    for iteration in estimator._predictors:  # noqa: SLF001  # scikit-learn has no public way to its trees
        for target, predictor in enumerate(iteration):
            nodes = predictor.nodes
            if nodes["is_categorical"].any():
                msg = "it splits by categories of its own"
                raise ValueError(msg)
            found.append(
                Tree(
                    nodes["is_leaf"].astype(bool),
                    nodes["feature_idx"],
                    nodes["num_threshold"],
                    nodes["left"],
                    nodes["right"],
                    nodes["missing_go_to_left"].astype(bool),
                    nodes["value"],
                    target,
                )
            )
    return found


def forest_trees(estimators: Iterable[Any], *, classes: int | None) -> list[Tree]:
    """Return the trees of fitted decision trees; their sums are their mean.

    A leaf adds to one target only, so with classes there is a tree for each class but the first.

    Parameters
    ----------
    classes
        The number of classes, None for a regression.
    """
    members = list(estimators)
    found = []
    for member in members:
        tree = member.tree_
        values = tree.value[:, 0, :]
        if classes is not None:
            values = values / values.sum(axis=1, keepdims=True)
        targets = range(1, values.shape[1]) if classes is not None else (0,)
        found += [
            Tree(
                tree.children_left == -1,
                tree.feature,
                tree.threshold,
                tree.children_left,
                tree.children_right,
                tree.missing_go_to_left.astype(bool),
                values[:, target] / len(members),
                target - 1 if classes is not None else 0,
            )
            for target in targets
        ]
    return found


def attributes(trees: list[Tree], targets: int) -> dict[str, Any]:
    """Return the attributes of a TreeEnsemble (``ai.onnx.ml``, version 5) that sums up these trees."""
    from onnx import TensorProto, helper

    parts: dict[str, list[np.ndarray]] = {}
    nodes = leaves = 0
    roots = []
    for tree in (_with_a_node(each) for each in trees):
        inner = np.flatnonzero(~tree.is_leaf)
        ends = np.flatnonzero(tree.is_leaf)
        number = np.empty(len(tree.is_leaf), dtype=np.int64)
        number[inner], number[ends] = nodes + np.arange(len(inner)), leaves + np.arange(len(ends))
        roots.append(nodes)
        nodes, leaves = nodes + len(inner), leaves + len(ends)
        left, right = tree.left[inner], tree.right[inner]
        for name, values in {
            "nodes_featureids": tree.feature[inner],
            "nodes_splits": tree.threshold[inner],
            "nodes_truenodeids": number[left],
            "nodes_trueleafs": tree.is_leaf[left],
            "nodes_falsenodeids": number[right],
            "nodes_falseleafs": tree.is_leaf[right],
            "nodes_missing_value_tracks_true": tree.missing_left[inner],
            "leaf_weights": tree.value[ends],
            "leaf_targetids": np.full(len(ends), tree.target),
        }.items():
            parts.setdefault(name, []).append(values)
    found: dict[str, Any] = {name: np.concatenate(values) for name, values in parts.items()}
    for name, values in found.items():
        if name in ("nodes_splits", "leaf_weights"):
            doubles = values.astype(np.float64).tolist()
            found[name] = helper.make_tensor(name, TensorProto.DOUBLE, [len(doubles)], doubles)
        else:
            found[name] = values.astype(np.int64).tolist()
    modes = helper.make_tensor("nodes_modes", TensorProto.UINT8, [nodes], [0] * nodes)  # 0: at most
    return {
        **found,
        "nodes_modes": modes,
        "tree_roots": roots,
        "n_targets": targets,
        "post_transform": 0,
        "aggregate_function": 1,  # the sum
    }


def _with_a_node(tree: Tree) -> Tree:
    """Return the tree; one that is a single leaf becomes a node with two equal leaves."""
    if not tree.is_leaf[0]:
        return tree
    return Tree(
        np.array([False, True, True]),
        np.zeros(3, dtype=np.int64),
        np.zeros(3),
        np.array([1, -1, -1]),
        np.array([2, -1, -1]),
        np.zeros(3, dtype=bool),
        np.repeat(tree.value[:1], 3),
        tree.target,
    )
