"""The input of an estimator: a plain matrix where it needs no column names, otherwise a DataFrame."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.boosters.known import library_of
from homeostat.bundle.boosters.labels import unwrapped
from homeostat.bundle.boosters.prepare import parts_of
from homeostat.bundle.onnx_format.model import OnnxModel
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.label_text import FIRST_SPELLING, SPELLING, label_text, received_name


def model_inputs(frame: pd.DataFrame, config: ModelConfig, *, as_matrix: bool) -> Any:
    """Return the features in the order of model.yaml: a float64 matrix, or float64 and ``str`` columns."""
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    return typed_inputs(frame, kinds, as_matrix=as_matrix)


def typed_inputs(
    frame: pd.DataFrame, kinds: dict[str, Any], *, as_matrix: bool, spelling: int = SPELLING
) -> Any:
    """Return what :func:`model_inputs` does, from the features' names and kinds.

    Categories are spelled as the version learned them: see :mod:`homeostat.config.label_text`.

    Raises
    ------
    DataError
        A feature is not in the frame.
    """
    missing = [name for name in kinds if name not in frame]
    if missing:
        msg = f"the rows have no column '{missing[0]}': the model needs exactly the features of its fit"
        raise DataError(msg)
    if as_matrix:
        return frame[list(kinds)].to_numpy(dtype=np.float64)
    columns = {
        name: frame[name].astype(np.float64) if kind == "number" else _categories(frame, name, spelling)
        for name, kind in kinds.items()
    }
    return pd.DataFrame(columns, index=frame.index)


def _categories(frame: pd.DataFrame, name: str, spelling: int) -> pd.Series:
    if spelling == FIRST_SPELLING:
        received = received_name(name)
        return frame[received if received in frame else name].astype("str")
    column = frame[name].astype("str")
    texts = {text: label_text(text) for text in column.dropna().unique()}
    return column if all(text == now for text, now in texts.items()) else column.map(texts).astype("str")


def takes_matrix(estimator: Any, config: ModelConfig) -> bool:
    """Return whether this estimator can be fitted on, and predict from, a plain float64 matrix.

    All features must be numbers, and every part of the estimator must be scikit-learn's own or a booster,
    and select no column by name: a user's transformer or function may use the column names.
    """
    if any(feature.type != "number" for feature in config.columns.features.values()):
        return False
    return not any(_may_want_names(part) for part in parts_of(unwrapped(estimator)))


#: Parameters of boosters that may hold names of columns.
_NAMED_BY_BOOSTERS = (
    "cat_features",
    "categorical_feature",
    "embedding_features",
    "feature_weights",
    "ignored_features",
    "interaction_constraints",
    "monotone_constraints",
    "text_features",
)


def _may_want_names(part: Any) -> bool:
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import FunctionTransformer

    if library_of(part):
        params = part.get_params()
        return any(_names(params.get(key)) for key in _NAMED_BY_BOOSTERS)
    if not type(part).__module__.startswith("sklearn."):
        return not isinstance(part, OnnxModel)
    if isinstance(part, FunctionTransformer):
        return not isinstance(part.func, np.ufunc | None)
    if isinstance(part, ColumnTransformer):
        return any(_names(columns) for _, _, columns in part.transformers)
    # HistGradientBoosting accepts names of its categorical and monotonic columns.
    named = (getattr(part, key, None) for key in ("categorical_features", "monotonic_cst"))
    return any(_names(value) for value in named if value is not None and not isinstance(value, str))


def _names(columns: Any) -> bool:
    if isinstance(columns, (str, dict)) or callable(columns):
        return True
    return isinstance(columns, (list, tuple, np.ndarray)) and any(isinstance(item, str) for item in columns)
