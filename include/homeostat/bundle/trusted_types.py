"""The types that a bundle may contain, and a check of decision trees, which trusted types do not cover."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from homeostat.bundle.pipeline import ROOT
from homeostat.config.errors import Untrusted

#: Besides what skops trusts (every public estimator of scikit-learn, ufuncs of numpy and scipy): parts of
#: common fitted estimators, found by dumping each of them. None of them imports, opens or runs anything.
#: Left out on purpose: numpy functions that read files, and the trees of nearest neighbours, whose indices
#: scikit-learn follows unchecked.
TRUSTED_TYPES: tuple[str, ...] = (
    "homeostat.bundle.boosters.categories.NativeCategories",
    "homeostat.bundle.boosters.labels.EncodedLabels",
    "homeostat.bundle.boosters.stored.StoredBooster",
    "homeostat.bundle.committee.Committee",
    "homeostat.bundle.onnx_format.model.OnnxModel",
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.compose._column_transformer.make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.TimeSeriesSplit",
    "sklearn.multiclass._ConstantPredictor",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.tree._tree.Tree",
    "sklearn.utils._bunch.Bunch",
)


def how_to_trust(unknown: Sequence[str], model: str) -> str:
    """Return what to do about these types: the line to add, and where."""
    names = ", ".join(unknown)
    return (
        "if they are harmless, add them wherever the model is trained and served: for this model the line "
        f"{model}: {{trusted_types: [{names}]}} to the file that HOMEOSTAT_OVERRIDES names, or for all "
        f"models {names} to HOMEOSTAT_TRUSTED_TYPES"
    )


def defined_in_model(name: str, model: str) -> bool:
    """Return whether a type is a class or function that the model's own files define.

    An import is not a definition: a file that imports ``Popen`` does not make it trusted.
    """
    module_name, _, attribute = name.rpartition(".")
    if not module_name.startswith(f"{ROOT}.{model}."):
        return False
    module = sys.modules.get(module_name)
    return getattr(getattr(module, attribute, None), "__module__", None) == module_name


def check_trees(estimator: Any) -> None:
    """Check that the indices of every decision tree point at its own nodes and features.

    scikit-learn does not check them: a crafted file of trusted types could read beyond the array, or loop for
    ever.

    Raises
    ------
    Untrusted
        A node points outside its tree or backwards, or a tree reads more features than it is given.
    """
    for part in walk(estimator):
        held = getattr(part, "__dict__", {})
        if "_predictors" in held:
            for tree in np.ravel(np.array(held["_predictors"], dtype=object)):
                _check_boosted(tree, held["n_features_in_"])
        elif "tree_" in held:
            tree = held["tree_"]
            columns = (tree.children_left, tree.children_right, tree.feature)
            _check(columns, tree.children_left == -1, held["n_features_in_"])
        elif type(part).__module__ in ("sklearn.ensemble._forest", "sklearn.ensemble._gb"):
            # An ensemble checks the width of its input once; its trees do not.
            for member in np.ravel(np.array(held.get("estimators_", []), dtype=object)):
                if member.tree_.n_features != held["n_features_in_"]:
                    raise Untrusted(_CRAFTED)


_CRAFTED = "a decision tree in the bundle has invalid indices: the file was manipulated and is not loaded"


def _check(columns: tuple[np.ndarray, ...], ends: np.ndarray, features: int) -> None:
    count = len(ends)
    at = np.flatnonzero(~ends)
    left, right, feature = (column.astype(np.int64)[at] for column in columns)
    forward = (left > at) & (left < count) & (right > at) & (right < count)
    known = (feature >= 0) & (feature < features)
    if not count or not (forward.all() and known.all()):
        raise Untrusted(_CRAFTED)


def _check_boosted(tree: Any, features: int) -> None:
    table = tree.nodes
    ends = table["is_leaf"].astype(bool)
    _check((table["left"], table["right"], table["feature_idx"]), ends, features)
    chosen = ~ends & table["is_categorical"].astype(bool)
    if chosen.any() and int(table["bitset_idx"][chosen].max()) >= len(tree.raw_left_cat_bitsets):
        raise Untrusted(_CRAFTED)


def walk(root: Any, leaf: Callable[[Any], Any] = lambda _: False) -> Iterator[Any]:
    """Yield every object inside an estimator, each once; of those for which ``leaf`` is true, no parts."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, type(None))):
            continue
        seen.add(id(part))
        yield part
        if leaf(part):
            continue
        if isinstance(part, dict):
            waiting.extend(part.values())
        elif isinstance(part, (list, tuple, set)):
            waiting.extend(part)
        elif isinstance(part, np.ndarray):
            waiting.extend(part.ravel().tolist() if part.dtype == object else ())
        else:
            waiting.extend(getattr(part, "__dict__", {}).values())
