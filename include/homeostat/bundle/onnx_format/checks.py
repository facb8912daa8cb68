"""Check an ONNX file before ONNX Runtime reads it.

ONNX Runtime opens the files that a tensor's external data names, and follows the indices of a tree without
a look at the width of its input.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from homeostat.bundle.boosters.trees import check_children, check_range, integers
from homeostat.config.errors import Untrusted
from homeostat.config.extras import optional_libraries

ML = "ai.onnx.ml"
#: What converted pipelines consist of. None of them holds a graph, asks for memory by a number of its own,
#: or comes from another domain.
OPERATORS: Mapping[str, frozenset[str]] = {
    "": frozenset(
        [
            "Abs",
            "Add",
            "And",
            "Cast",
            "Clip",
            "Concat",
            "Div",
            "Equal",
            "Exp",
            "Flatten",
            "Gather",
            "Gemm",
            "Greater",
            "Identity",
            "IsNaN",
            "Less",
            "Log",
            "MatMul",
            "Max",
            "Min",
            "Mul",
            "Neg",
            "Not",
            "Or",
            "Pow",
            "Reciprocal",
            "ReduceLogSumExp",
            "ReduceSum",
            "Relu",
            "Reshape",
            "Sigmoid",
            "Softmax",
            "Split",
            "Sqrt",
            "Squeeze",
            "Sub",
            "Tanh",
            "Transpose",
            "Unsqueeze",
            "Where",
        ]
    ),
    ML: frozenset(["LabelEncoder", "TreeEnsemble"]),
}
#: The operator of trees, which :func:`_check_trees` checks.
TREES = "TreeEnsemble"
_PER_NODE = (
    "nodes_falseleafs",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_splits",
    "nodes_trueleafs",
    "nodes_truenodeids",
)
_OTHERS = (
    "aggregate_function",
    "leaf_targetids",
    "leaf_weights",
    "n_targets",
    "post_transform",
    "tree_roots",
)
#: ONNX Runtime calls itself for each level of a tree.
MAX_DEPTH = 500


def check(data: bytes) -> None:
    """Raise Untrusted unless the file is a plain graph of known operators, whole in itself."""
    with optional_libraries():
        import onnx
        from google.protobuf.message import DecodeError
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise _refuse("no complete ONNX file") from error
    domains = {each.domain for each in model.opset_import}
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer or not domains <= set(OPERATORS):
        raise _refuse("functions, sparse tensors, or operators of another domain")
    for part in _messages(model):
        if isinstance(part, onnx.TensorProto) and (part.external_data or part.data_location):
            raise _refuse("a tensor in another file")
        if isinstance(part, onnx.GraphProto) and part is not graph:
            raise _refuse("a graph within an operator")
    _check_nodes(graph)


def _check_nodes(graph: Any) -> None:
    constants = {each.name: each for each in graph.initializer}
    if not constants.keys().isdisjoint(each.name for each in graph.input):
        raise _refuse("an input instead of a constant")
    made = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type not in OPERATORS.get(node.domain, ()):
            raise _refuse(f"the operator {node.domain}.{node.op_type}"[:120])
        if node.op_type == TREES:
            try:
                _check_trees(node, _width(node, made, constants))
            except (KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError) as error:
                msg = f"trees that cannot be read ({type(error).__name__})"
                raise _refuse(msg) from error


def _refuse(what: str) -> Untrusted:
    msg = f"the ONNX file in the bundle has {what}: it was not written by Homeostat, and is not loaded"
    return Untrusted(msg)


def _messages(message: Any) -> Iterator[Any]:
    """Yield a protobuf message and all messages in it."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)


def _width(node: Any, made: Mapping[str, Any], constants: Mapping[str, Any]) -> int:
    """Return the columns of the trees' input: a Reshape to a constant shape must come before them."""
    from onnx.numpy_helper import to_array

    before = made.get(node.input[0])
    shape = constants.get(before.input[1]) if before is not None and before.op_type == "Reshape" else None
    found = to_array(shape).tolist() if shape is not None else []
    if len(found) != 2 or found[0] != -1 or found[1] < 1:
        raise _refuse("trees whose input may have any width")
    return int(found[1])


def _check_trees(node: Any, width: int) -> None:
    from onnx.helper import get_attribute_value
    from onnx.numpy_helper import to_array

    found = {each.name: get_attribute_value(each) for each in node.attribute}
    for name in ("leaf_weights", "nodes_modes", "nodes_splits"):
        found[name] = to_array(found[name])
    nodes, leaves, targets = len(found["nodes_splits"]), len(found["leaf_weights"]), found["n_targets"]
    if set(found) != {*_PER_NODE, *_OTHERS} or {len(found[name]) for name in _PER_NODE} != {nodes}:
        raise _refuse("a node without a child or a threshold")
    if found["nodes_modes"].any() or found["post_transform"] != 0 or found["aggregate_function"] != 1:
        raise _refuse("trees of another kind")
    if not 1 <= targets <= leaves or len(found["leaf_targetids"]) != leaves:
        raise _refuse("a leaf too many or too few")
    check_range(integers(found["nodes_featureids"]), width, "a feature")
    check_range(integers(found["leaf_targetids"]), targets, "a tree's class")
    at, to = [], []
    for side in ("true", "false"):
        ends = integers(found[f"nodes_{side}leafs"])
        child = integers(found[f"nodes_{side}nodeids"])
        check_range(ends, 2, "a leaf")
        check_range(child[ends == 1], leaves, "a leaf")
        at.append(np.flatnonzero(ends == 0))
        to.append(child[ends == 0])
    _check_shape(np.concatenate(at), np.concatenate(to), integers(found["tree_roots"]), nodes)


def _check_shape(parents: np.ndarray, children: np.ndarray, roots: np.ndarray, nodes: int) -> None:
    """Raise Untrusted unless each node is a root or the child of one node before it, not too deep."""
    check_range(roots, nodes, "a tree")
    check_children(children, nodes)
    if (children <= parents).any() or len(roots) + len(children) != nodes or not len(roots):
        raise _refuse("a node outside its tree")
    if len(np.unique(np.concatenate([roots, children]))) != nodes:
        raise _refuse("a node outside its tree")
    above = np.arange(nodes)
    above[children] = parents
    reached = np.arange(nodes)
    for _ in range(MAX_DEPTH):
        if np.array_equal(above[reached], reached):
            return
        reached = above[reached]
    msg = f"a tree of more than {MAX_DEPTH} levels"
    raise _refuse(msg)
