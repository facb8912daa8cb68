"""Compare a model's inputs and classes with model.yaml, and adapt an estimator that differs only in form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from homeostat.bundle.boosters.known import library_of
from homeostat.bundle.boosters.labels import EncodedLabels
from homeostat.bundle.inputs import takes_matrix
from homeostat.bundle.mlflow_model.mlmodel import MLmodel
from homeostat.bundle.trusted_types import walk
from homeostat.config import ModelConfig
from homeostat.config.errors import SignatureMismatch

#: MLflow's types of columns, by the feature's type in model.yaml.
_TYPES = {
    "number": {"double", "float", "integer", "long", "boolean"},
    "category": {"string"},
}
#: What the libraries call columns without a name.
_NAMELESS = {"lightgbm": re.compile(r"Column_\d+"), "catboost": re.compile(r"\d+")}


def fit_to_schema(
    estimator: Any, described: MLmodel, config: ModelConfig, *, what: str, classes: Sequence[str]
) -> Any:
    """Return an estimator that takes the features of model.yaml and predicts its labels.

    Raises
    ------
    SignatureMismatch
        It takes other columns or types, predicts something else than ``task``, or ``classes`` do not fit.
    """
    names = _names(estimator) or list(described.inputs or ()) or None
    _check_inputs(estimator, names, described, config, what)
    estimator = _with_categories(estimator, names, config, what)
    if names is not None and names != list(config.feature_names):
        estimator = _select(estimator, names, config)
    elif takes_matrix(estimator, config):
        _forget_names(estimator)
    return _with_classes(estimator, config, what, classes)


def _names(estimator: Any) -> list[str] | None:
    """Return the names of the columns of the fit, where the estimator knows them."""
    library = library_of(estimator)
    if library == "xgboost":
        found = estimator.get_booster().feature_names
    elif library == "lightgbm":
        found = estimator.booster_.feature_name()
    else:
        found = getattr(estimator, "feature_names_" if library else "feature_names_in_", None)
    names = [str(name) for name in (() if found is None else found)]
    nameless = _NAMELESS.get(library or "")
    if nameless is not None and all(nameless.fullmatch(name) for name in names):
        return None
    return names or None


def _check_inputs(
    estimator: Any, names: list[str] | None, described: MLmodel, config: ModelConfig, what: str
) -> None:
    features = config.columns.features
    where = f"schema.features of {config.folder / 'model.yaml'}"
    if names is None:
        wanted = getattr(estimator, "n_features_in_", len(features))
        if wanted != len(features):
            msg = f"{what}: takes {wanted} columns without names, and {where} has {len(features)}"
            raise SignatureMismatch(msg)
        return
    unknown = [name for name in names if name not in features]
    if unknown:
        msg = (
            f"{what}: takes the column{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown[:10]))}, and "
            f"{where} has {', '.join(map(repr, list(features)[:20]))}: add the features there, or fit the "
            "model on these"
        )
        raise SignatureMismatch(msg)
    for name, kind in (described.inputs or {}).items():
        if name in features and kind not in _TYPES[features[name].type]:
            msg = (
                f"{what}: its signature has '{name}' as {kind}, and {where} as {features[name].type}, which "
                f"requests have as {'text' if features[name].type == 'category' else 'a number'}: fit the "
                "model on such values, or change the type there"
            )
            raise SignatureMismatch(msg)


def _with_categories(estimator: Any, names: list[str] | None, config: ModelConfig, what: str) -> Any:
    """Return a booster behind a step that gives it its categories from text."""
    library = library_of(estimator)
    used = names or list(config.feature_names)
    kinds = [name for name in used if config.columns.features[name].type == "category"]
    if library is None or not kinds:
        return estimator
    from sklearn.pipeline import Pipeline

    from homeostat.bundle.boosters.categories import NativeCategories

    known = {"catboost": _any_text, "lightgbm": _of_lightgbm, "xgboost": _of_xgboost}[library](
        estimator, kinds
    )
    texts = all(isinstance(each, str) for values in known for each in values)
    if len(known) != len(kinds) or not texts:
        msg = (
            f"{what}: model.yaml has the categories {', '.join(map(repr, kinds[:10]))}, and the booster does "
            "not have them as text: fit it on a DataFrame that has them as pandas categories of text"
        )
        raise SignatureMismatch(msg)
    step = NativeCategories(as_text=library == "catboost")
    step.feature_names_in_ = np.asarray(used, dtype=object).astype(np.str_)
    step.n_features_in_ = len(used)
    step.categories_ = {name: list(values) for name, values in zip(kinds, known, strict=True)}
    return Pipeline([("categories", step), ("booster", estimator)])


def _any_text(_booster: Any, kinds: Sequence[str]) -> list[list[str]]:
    return [[] for _ in kinds]


def _of_lightgbm(booster: Any, _kinds: Sequence[str]) -> list[list[Any]]:
    return booster.booster_.pandas_categorical or []


def _of_xgboost(booster: Any, kinds: Sequence[str]) -> list[list[Any]]:
    try:
        found = dict(booster.get_booster().get_categories(export_to_arrow=True).to_arrow())
    except (AttributeError, TypeError, ValueError):
        return []  # XGBoost before 3.1 does not keep them
    return [found[name].to_pylist() for name in kinds if found.get(name) is not None]


def _select(estimator: Any, names: list[str], config: ModelConfig) -> Any:
    """Return the estimator behind a step that selects its columns in its order."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    step = ColumnTransformer([("inputs", "passthrough", names)], verbose_feature_names_out=False)
    step.set_output(transform="pandas" if _wants_names(estimator) else "default")
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    empty = {name: pd.Series([""] if kind == "category" else [0.0]) for name, kind in kinds.items()}
    step.fit(pd.DataFrame(empty))
    return Pipeline([("inputs", step), ("model", estimator)])


def _wants_names(estimator: Any) -> bool:
    return library_of(estimator) is not None or getattr(estimator, "feature_names_in_", None) is not None


def _forget_names(estimator: Any) -> None:
    """Forget the names of the fit: the model gets a matrix in this order, and would warn at each request."""
    for part in walk(estimator, leaf=library_of):
        held = getattr(part, "__dict__", {})
        if type(part).__module__.startswith("sklearn.") and "_sklearn_output_config" not in held:
            held.pop("feature_names_in_", None)


def _with_classes(estimator: Any, config: ModelConfig, what: str, classes: Sequence[str]) -> Any:
    own = getattr(estimator, "classes_", None)
    if (own is None) is (config.task == "classification"):
        found = "predicts no classes" if own is None else f"predicts the classes {_shown(own)}"
        msg = f"{what}: {found}, and {config.folder / 'model.yaml'} has task: {config.task}"
        raise SignatureMismatch(msg)
    if not classes:
        return estimator
    if own is None or [str(each) for each in np.asarray(own).tolist()] != list(map(str, range(len(classes)))):
        msg = (
            f"{what}: classes names {len(classes)} labels, {_shown(classes)}, for a model that predicts "
            f"0 to {len(classes) - 1}, and this one predicts {'numbers' if own is None else _shown(own)}: "
            "leave classes out, or name a label for each class"
        )
        raise SignatureMismatch(msg)
    return EncodedLabels(estimator, np.asarray(list(classes)))


def _shown(classes: Any) -> str:
    return ", ".join(map(str, np.asarray(classes).tolist()[:20]))
