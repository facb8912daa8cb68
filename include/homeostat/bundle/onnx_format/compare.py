"""Compare an ONNX model with the pipeline that it was converted from."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.onnx_format.convert import to_onnx
from homeostat.bundle.onnx_format.model import OnnxModel


class NotConverted(Exception):
    """A pipeline has no ONNX model that predicts the same; the message says why."""


#: The largest difference between two probabilities, or between two numbers as a share of the larger one
#: (of 1, where both are smaller), that counts as equal.
TOLERANCE = 1e-9
#: Rows that are compared at most, the newest ones.
MAX_ROWS = 20_000
#: Rows whose values are made missing, one feature at a time.
_BLANKED = 20
_UNSEEN = "a category that no row has"


def converted(estimator: Any, inputs: Any, kinds: Mapping[str, str]) -> OnnxModel:
    """Return the ONNX model that predicts what the estimator does, on these rows and on variants of them.

    The variants have each feature missing in turn, and each category feature with an unseen value.

    Parameters
    ----------
    estimator
        Fitted.
    inputs
        Rows as the estimator takes them, a matrix or a frame; without them there is nothing to compare.
    kinds
        The type of each feature, ``number`` or ``category``, in their order.

    Raises
    ------
    NotConverted
        It cannot be converted, or does not predict the same; the message says why.
    """
    as_matrix = not isinstance(inputs, pd.DataFrame)
    inputs = inputs[-MAX_ROWS:]
    if not len(inputs):
        raise NotConverted("there are no rows to compare its predictions on")
    classes = getattr(estimator, "classes_", None)
    if classes is not None and not hasattr(estimator, "predict_proba"):
        raise NotConverted("it has no probabilities")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about unseen categories
        variants, required = _variants(estimator, inputs, kinds)
        cases = [("", inputs, _predicted(estimator, inputs)), *variants]
        try:
            data = to_onnx(estimator, kinds, as_matrix=as_matrix)
            model = OnnxModel(data, list(kinds), required, None if classes is None else np.asarray(classes))
            found = [_predicted(model, rows) for _, rows, _ in cases]
        except Exception as error:  # skl2onnx and ONNX Runtime raise anything for what they do not support
            words = " ".join(str(error).split())[:200]
            msg = f"it cannot be converted ({type(error).__name__}: {words})"
            raise NotConverted(msg) from error
    for (what, _, expected), each in zip(cases, found, strict=True):
        _compare(expected, each, what)
    return model


def _variants(
    estimator: Any, inputs: Any, kinds: Mapping[str, str]
) -> tuple[list[tuple[str, Any, tuple[np.ndarray, np.ndarray]]], list[str]]:
    """Return rows with a missing or unseen value with their predictions, and the numbers it must not miss."""
    found, required = [], []
    for at, (name, kind) in enumerate(kinds.items()):
        cases = {"missing": np.nan} if kind == "number" else {"missing": np.nan, "unseen": _UNSEEN}
        for case, value in cases.items():
            rows = _with(inputs[-_BLANKED:], at, value)
            try:
                found.append((f" where '{name}' is {case}", rows, _predicted(estimator, rows)))
            except Exception as error:  # the user's own pipeline says that it takes no such value
                if kind == "category":
                    msg = f"it fails where '{name}' is {case}, and ONNX would not"
                    raise NotConverted(msg) from error
                required.append(name)
    return found, required


def _with(rows: Any, at: int, value: Any) -> Any:
    changed = rows.copy()
    if isinstance(rows, pd.DataFrame):
        column = pd.Series([value] * len(rows), index=rows.index, dtype=rows.dtypes.iloc[at])
        return changed.assign(**{str(rows.columns[at]): column})
    changed[:, at] = value
    return changed


def _predicted(estimator: Any, rows: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the predictions, and the numbers behind them: probabilities, or the predictions themselves."""
    predicted = np.asarray(estimator.predict(rows)).reshape(-1)
    behind = estimator.predict_proba(rows) if hasattr(estimator, "predict_proba") else predicted
    return predicted, np.asarray(behind, dtype=np.float64)


def _compare(
    expected: tuple[np.ndarray, np.ndarray], found: tuple[np.ndarray, np.ndarray], what: str
) -> None:
    scale = np.maximum(1.0, np.maximum(np.abs(expected[1]), np.abs(found[1])))
    gap = np.abs(expected[1] - found[1]) / scale
    both = np.isnan(expected[1]) & np.isnan(found[1])
    worst = float(np.max(np.where(both, 0.0, gap), initial=0.0))
    if not worst <= TOLERANCE:
        shown = "a number is missing" if np.isnan(worst) else f"by up to {worst:.2g}"
        msg = f"its predictions in ONNX differ{what}: {shown}, allowed is {TOLERANCE:g}"
        raise NotConverted(msg)
    others = int((expected[0] != found[0]).sum()) if expected[0].dtype.kind != "f" else 0
    if others:
        msg = f"{others} of {len(expected[0])} predicted classes in ONNX differ{what}"
        raise NotConverted(msg)
