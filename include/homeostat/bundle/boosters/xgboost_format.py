"""XGBoost's JSON format. Unlike the binary one, it can be checked before XGBoost itself reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from homeostat.bundle.boosters.known import predict_threads
from homeostat.bundle.boosters.trees import check_children, check_range, check_segments, integers, refuse

#: Codes of categories are bits of a set, so a crafted one could ask for any amount of memory.
_MAX_CATEGORY = 1 << 24


def dump(booster: Any) -> tuple[bytes, dict[str, Any]]:
    """Return a fitted estimator's trees as JSON, which also has all that the estimator knows of them."""
    data = bytes(booster.get_booster().save_raw(raw_format="json"))
    check(data)
    return data, {}


def restore(booster: Any, data: bytes, _facts: Mapping[str, Any]) -> Any:
    """Return the unfitted estimator with these trees; it predicts what the stored one did."""
    booster.set_params(n_jobs=predict_threads())
    booster.load_model(bytearray(data))
    booster.get_booster().set_param({"nthread": predict_threads()})
    return booster


def check(data: bytes) -> None:
    """Raise Untrusted unless every index in the file points to something that is there.

    XGBoost's own reader of JSON calls itself for each level, and follows a tree's indices unchecked.
    """
    try:
        learner = json.loads(data)["learner"]
        facts = learner["learner_model_param"]
        features, booster = int(facts["num_feature"]), learner["gradient_booster"]
        outputs = max(int(facts["num_class"]), 1) * max(int(facts.get("num_target", "1")), 1)
        for names in (learner.get("feature_names", []), learner.get("feature_types", [])):
            if len(names) not in (0, features):
                raise refuse("other names than features")
        if booster["name"] == "gblinear":
            if len(booster["model"]["weights"]) != (features + 1) * outputs:
                raise refuse("a weight too many or too few")
            return
        if booster["name"] == "dart":
            if len(booster["weight_drop"]) != len(booster["gbtree"]["model"]["trees"]):
                raise refuse("a weight too many or too few")
            booster = booster["gbtree"]
        _check_model(booster["model"], features, outputs)
    except (KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise refuse("no JSON of XGBoost", f" ({type(error).__name__})") from error


def _check_model(model: Mapping[str, Any], features: int, outputs: int) -> None:
    trees = model["trees"]
    groups = integers(model["tree_info"])
    if len(groups) != len(trees) or int(model["gbtree_model_param"]["num_trees"]) != len(trees):
        raise refuse("a tree too many or too few")
    check_range(groups, outputs, "a tree's class")
    if "iteration_indptr" in model:
        check_segments(integers(model["iteration_indptr"]), len(trees), "an iteration")
    if [tree["id"] for tree in trees] != list(range(len(trees))):
        raise refuse("trees in another order than they say")
    for tree in trees:
        _check_tree(tree, features)
    if "cats" in model:
        _check_categories(model["cats"], features)


def _check_tree(tree: Mapping[str, Any], features: int) -> None:
    facts = tree["tree_param"]
    nodes = int(facts["num_nodes"])
    if int(facts.get("size_leaf_vector", "1")) not in (0, 1):
        raise refuse("a leaf with several values, which is not supported")
    per_node = ("base_weights", "default_left", "loss_changes", "parents", "split_conditions", "sum_hessian")
    left, right = integers(tree["left_children"]), integers(tree["right_children"])
    feature, kind = integers(tree["split_indices"]), integers(tree["split_type"])
    lengths = {len(each) for each in (left, right, feature, kind)} | {len(tree[name]) for name in per_node}
    if nodes < 1 or lengths != {nodes} or int(facts["num_feature"]) != features:
        raise refuse("a node without a child or a threshold")
    inner = left != -1
    check_children(np.concatenate([left[inner], right[inner]]), nodes)
    check_range(feature[inner], features, "a feature")
    parents = integers(tree["parents"])
    if not all(np.array_equal(parents[each[inner]], np.flatnonzero(inner)) for each in (left, right)):
        raise refuse("a node with another parent than it says")
    at, begin, size = (integers(tree[f"categories_{name}"]) for name in ("nodes", "segments", "sizes"))
    values = integers(tree["categories"])
    if not len(at) == len(begin) == len(size) or not np.array_equal(at, np.flatnonzero(kind)):
        raise refuse("a split by categories without any")
    check_range(values, _MAX_CATEGORY, "a category")
    for each in (begin, size, begin + size):
        check_range(each, len(values) + 1, "a set of categories")


def _check_categories(cats: Mapping[str, Any], features: int) -> None:
    """Check the categories of the columns at the fit, by which XGBoost translates those of a request."""
    encoded, order = cats["enc"], integers(cats["sorted_idx"])
    edges = integers(cats["feature_segments"])
    if not encoded and not order.size:
        return
    if len(encoded) != features:
        raise refuse("categories of other columns")
    check_segments(edges, len(order), "a category")
    for each, start, end in zip(encoded, edges, edges[1:], strict=False):
        check_range(order[start:end], max(int(end - start), 1), "a category")
        offsets, values = integers(each.get("offsets", [])), len(each["values"])
        if offsets.size:  # texts, one after the other
            check_segments(offsets, values, "a category's text")
            values = len(offsets) - 1
        if values != end - start:
            raise refuse("a category without its value")
