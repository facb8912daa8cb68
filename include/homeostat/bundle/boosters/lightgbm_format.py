"""LightGBM's text format."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from homeostat.bundle.boosters.known import predict_threads
from homeostat.bundle.boosters.trees import check_children, check_range, check_segments, integers, refuse
from homeostat.config.errors import PipelineError

#: Lines without a value.
_HEADINGS = ("tree", "average_output")
_NUMBERS = re.compile(r"(?:-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?|inf|nan)(?: |$))*")
_PER_NODE = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
_PER_NODE_TOLD = ("internal_value", "internal_weight", "internal_count")
_PER_LEAF = ("leaf_value", "leaf_weight", "leaf_count")
_SINGLE = ("Tree", "num_leaves", "num_cat", "is_linear", "shrinkage")
_THREADS = re.compile(r"^\[num_threads: -?\d+\]$", re.MULTILINE)


def dump(booster: Any) -> tuple[bytes, dict[str, Any]]:
    """Return a fitted estimator's trees as text, and what the estimator knows beside them.

    Raises
    ------
    PipelineError
        ``linear_tree``, which is not supported.
    """
    if booster.booster_.params.get("linear_tree"):
        msg = "LightGBM's linear_tree=True cannot be stored in a bundle: leave it out"
        raise PipelineError(msg)
    # The number of threads of the machine does not change the trees, but would change the digest.
    text = _THREADS.sub("[num_threads: 0]", booster.booster_.model_to_string())
    data = text.encode()
    check(data)
    facts = {
        "classes": getattr(booster, "classes_", None),
        "features": int(booster.n_features_in_),
        "objective": booster.objective_,
        "best_iteration": int(booster.best_iteration_ or 0),
    }
    return data, facts


def restore(booster: Any, data: bytes, facts: Mapping[str, Any]) -> Any:
    """Return the unfitted estimator with these trees; it predicts what the stored one did.

    The estimator has no public way to take a Booster.
    """
    import lightgbm

    booster.set_params(n_jobs=predict_threads())
    booster._Booster = lightgbm.Booster(model_str=data.decode())  # noqa: SLF001
    state: dict[str, Any] = {
        "fitted_": True,
        "_n_features": facts["features"],
        "_n_features_in": facts["features"],
        "_objective": facts["objective"],
        "_best_iteration": facts["best_iteration"],
        "_best_score": {},
        "_evals_result": {},
        "_class_weight": booster.class_weight,
    }
    classes = facts["classes"]
    if classes is not None:
        from sklearn.preprocessing import LabelEncoder

        state |= {"_classes": classes, "_n_classes": len(classes), "_le": LabelEncoder().fit(classes)}
        state["_class_map"] = dict(zip(classes.tolist(), range(len(classes)), strict=True))
    vars(booster).update(state)
    return booster


def check(data: bytes) -> None:
    """Raise Untrusted unless every index in the file points to something that is there.

    The file is text; lines are ``key=value``, and each tree begins with ``Tree=<number>``.
    """
    try:
        head, *trees = re.split(r"^(?=Tree=\d+\n)", data.decode(), flags=re.MULTILINE)
        facts = _pairs(head)
        features = int(facts["max_feature_idx"]) + 1
        per_row, classes = int(facts["num_tree_per_iteration"]), int(facts["num_class"])
        tail = (trees or [head])[-1]
        begin, end = tail.find("end of trees\n"), tail.find("\nend of parameters\n")
        if begin < 0 or end < begin:
            raise refuse("no end")
        if trees:
            trees[-1] = tail[:begin]
        known = len(facts["feature_names"].split()) == len(facts["feature_infos"].split()) == features
        if not known or per_row < 1 or len(trees) % per_row or classes < 1 or classes > max(1, per_row):
            raise refuse("numbers of features, classes and trees that disagree")
        # LightGBM jumps by these sizes without a look.
        if facts.get("tree_sizes", "").split() != [str(len(each.encode())) for each in trees]:
            raise refuse("trees of another size than it says")
        for each in trees:
            _check_tree(_pairs(each.rstrip("\n")), features)
    except (KeyError, ValueError, OverflowError) as error:
        raise refuse("no text of LightGBM", f" ({type(error).__name__})") from error


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.split("\n") if line and line not in _HEADINGS)


def _check_tree(tree: Mapping[str, str], features: int) -> None:
    if not all(_NUMBERS.fullmatch(value) for value in tree.values()):
        raise refuse("a text where a number belongs")  # LightGBM would end the process
    lists = {name: value.split() for name, value in tree.items()}
    leaves, kinds = int(tree["num_leaves"]), int(tree["num_cat"])
    if int(tree.get("is_linear", "0")) or leaves < 1 or kinds < 0 or not lists["leaf_value"]:
        raise refuse("a tree that is not supported")
    inner = leaves - 1
    lengths = dict.fromkeys(_SINGLE, 1) | dict.fromkeys(_PER_LEAF, leaves)
    lengths |= dict.fromkeys((*_PER_NODE, *_PER_NODE_TOLD), inner)
    if kinds:
        lengths |= {"cat_boundaries": kinds + 1, "cat_threshold": len(lists["cat_threshold"])}
    # A tree of one leaf may lack what it has no use for.
    wrong = [n for n, value in lists.items() if len(value) != lengths.get(n) and (leaves > 1 or value)]
    if wrong or (leaves > 1 and not set(_PER_NODE) <= set(lists)):
        raise refuse("a node without a child or a threshold")
    if leaves > 1:
        _check_nodes(lists, features, leaves, kinds)


def _check_nodes(lists: Mapping[str, list[str]], features: int, leaves: int, kinds: int) -> None:
    def listed(name: str) -> np.ndarray:
        return integers([int(each) for each in lists[name]])

    check_range(listed("split_feature"), features, "a feature")
    children = np.concatenate([listed("left_child"), listed("right_child")])
    check_children(children[children >= 0], leaves - 1)
    check_range(~children[children < 0], leaves, "a leaf")
    by_category = (listed("decision_type") & 1).tolist()
    chosen = [int(value) for value, one in zip(lists["threshold"], by_category, strict=True) if one]
    check_range(integers(chosen), kinds, "a split by categories")
    if kinds:
        check_segments(listed("cat_boundaries"), len(lists["cat_threshold"]), "a set of categories")
