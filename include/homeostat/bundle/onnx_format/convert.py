"""Convert a fitted pipeline of scikit-learn to ONNX, with float64 throughout."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from homeostat.bundle.onnx_format.checks import ML, TREES
from homeostat.bundle.onnx_format.encoders import (
    convert_imputer,
    convert_one_hot,
    encoded_shape,
    imputed_shape,
)
from homeostat.bundle.onnx_format.graph import OPSETS, add_constant, add_node
from homeostat.bundle.onnx_format.model import MATRIX, MISSING
from homeostat.bundle.onnx_format.trees import attributes, boosted_trees, forest_trees
from homeostat.bundle.trusted_types import walk

#: The version with trees of doubles. What else is written is the same in both.
_ML_OPSET = 5
_BOOSTED = ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor")
_FORESTS = ("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor")
_TREES = ("DecisionTreeClassifier", "DecisionTreeRegressor")


def to_onnx(estimator: Any, kinds: Mapping[str, str], *, as_matrix: bool) -> bytes:
    """Return the ONNX file of a fitted estimator; whether it predicts the same is for the caller to check.

    Parameters
    ----------
    kinds
        The type of each feature, ``number`` or ``category``, in their order.
    as_matrix
        The estimator was fitted on a matrix; otherwise each feature is an input.

    Raises
    ------
    Exception
        Whatever skl2onnx raises for what it cannot convert.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs

    _register()
    types = {"number": DoubleTensorType, "category": StringTensorType}
    inputs = [(name, types[kind]([None, 1])) for name, kind in kinds.items()]
    if as_matrix:
        inputs = [(MATRIX, DoubleTensorType([None, len(kinds)]))]
    classifies = hasattr(estimator, "classes_")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # skl2onnx's, about its own code
        model = convert_sklearn(
            _with_missing_texts(estimator),
            name="model",  # otherwise a random one, and another digest for each fit
            initial_types=inputs,
            options={"zipmap": False} if classifies else None,
            target_opset=OPSETS,
        )
        # The classes are chosen outside, from the probabilities.
        model = select_model_inputs_outputs(model, [model.graph.output[-1].name])
    used = {each.domain: each.version for each in model.opset_import}
    del model.opset_import[:]  # in the order of a set
    for domain in sorted(used):
        model.opset_import.add(domain=domain, version=_ML_OPSET if domain == ML else used[domain])
    return bytes(model.SerializeToString(deterministic=True))


def _with_missing_texts(estimator: Any) -> Any:
    """Return a copy whose encoders know the missing category by the text that stands for it."""
    estimator = copy.deepcopy(estimator)
    for part in walk(estimator):
        known = getattr(part, "__dict__", {}).get("categories_")
        if isinstance(known, list):
            for at, each in enumerate(known):
                if each.dtype == object:
                    known[at] = np.array([MISSING if one != one else one for one in each], dtype=object)  # noqa: PLR0124  # NaN
    return estimator


@cache
def _register() -> None:
    """Replace some of skl2onnx's converters, once in a process."""
    import sklearn.ensemble
    import sklearn.tree
    from skl2onnx import update_registered_converter
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    for names, convert in ((_BOOSTED, _convert_boosted), (_FORESTS + _TREES, _convert_forest)):
        for name in names:
            estimator = getattr(sklearn.tree if name in _TREES else sklearn.ensemble, name)
            more = {"zipmap": [True, False, "columns"]} if name.endswith("Classifier") else {}
            update_registered_converter(estimator, f"Homeostat{name}", _shapes, convert, options=more)
    update_registered_converter(SimpleImputer, "HomeostatImputer", imputed_shape, convert_imputer)
    update_registered_converter(OneHotEncoder, "HomeostatOneHot", encoded_shape, convert_one_hot)


def _shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType

    estimator = operator.raw_operator
    if hasattr(estimator, "classes_"):
        operator.outputs[0].type = Int64TensorType([None])
        operator.outputs[1].type = DoubleTensorType([None, len(estimator.classes_)])
    else:
        operator.outputs[0].type = DoubleTensorType([None, 1])


def _convert_boosted(scope: Any, operator: Any, container: Any) -> None:
    estimator = operator.raw_operator
    base = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(1, -1)  # noqa: SLF001
    raw = _sums(scope, operator, container, boosted_trees(estimator), base.shape[1])
    raw = add_node(scope, container, "Add", [raw, add_constant(scope, container, base)])
    if hasattr(estimator, "classes_"):
        if base.shape[1] > 1:
            add_node(scope, container, "Softmax", [raw], output=operator.outputs[1].full_name, axis=1)
        else:
            _both_classes(scope, operator, container, add_node(scope, container, "Sigmoid", [raw]))
        _label(scope, operator, container)
        return
    link = type(estimator._loss.link).__name__  # noqa: SLF001
    if link not in ("IdentityLink", "LogLink"):
        msg = f"its loss has the link {link}"
        raise ValueError(msg)
    kind = "Exp" if link == "LogLink" else "Identity"
    add_node(scope, container, kind, [raw], output=operator.outputs[0].full_name)


def _convert_forest(scope: Any, operator: Any, container: Any) -> None:
    estimator = operator.raw_operator
    members = estimator.estimators_ if hasattr(estimator, "estimators_") else [estimator]
    if estimator.n_outputs_ != 1:
        msg = "it has several outputs"
        raise ValueError(msg)
    if not hasattr(estimator, "classes_"):
        found = _sums(scope, operator, container, forest_trees(members, classes=None), 1, single=True)
        add_node(scope, container, "Identity", [found], output=operator.outputs[0].full_name)
        return
    classes = len(estimator.classes_)
    trees = forest_trees(members, classes=classes)
    _both_classes(
        scope, operator, container, _sums(scope, operator, container, trees, classes - 1, single=True)
    )
    _label(scope, operator, container)


def _sums(
    scope: Any, operator: Any, container: Any, trees: list[Any], targets: int, *, single: bool = False
) -> str:
    """Add the trees behind the operator's input; ``single`` rounds it to float32, as decision trees do."""
    from onnx import TensorProto

    name = operator.inputs[0].full_name
    for kind in (TensorProto.FLOAT, TensorProto.DOUBLE) if single else (TensorProto.DOUBLE,):
        name = add_node(scope, container, "Cast", [name], to=kind)
    # The constant width is what the indices of features are checked against when the file is loaded.
    shape = add_constant(scope, container, np.array([-1, operator.raw_operator.n_features_in_]))
    name = add_node(scope, container, "Reshape", [name, shape])
    more = attributes(trees, targets)
    return add_node(scope, container, TREES, [name], op_domain=ML, op_version=OPSETS[ML], **more)


def _both_classes(scope: Any, operator: Any, container: Any, rest: str) -> None:
    """Put the first class's probability before those of the others."""
    total = rest
    if len(operator.raw_operator.classes_) > 2:
        axes = add_constant(scope, container, np.array([1]))
        total = add_node(scope, container, "ReduceSum", [rest, axes], keepdims=1)
    first = add_node(scope, container, "Sub", [add_constant(scope, container, np.ones((1, 1))), total])
    add_node(scope, container, "Concat", [first, rest], output=operator.outputs[1].full_name, axis=1)


def _label(scope: Any, operator: Any, container: Any) -> None:
    """Give the position of the class; it is removed again, as classes are chosen outside."""
    chosen, found = operator.outputs[1].full_name, operator.outputs[0].full_name
    add_node(scope, container, "ArgMax", [chosen], output=found, axis=1, keepdims=0)
