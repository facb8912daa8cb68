"""Metrics by their names in model.yaml, for predictions that may be missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.config.label_text import label_texts
from homeostat.core.performance.f1 import f1

Task = Literal["classification", "regression"]
Array = npt.NDArray[Any]

_LOWER_IS_BETTER = ("log_loss", "mae", "rmse")
METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}
#: Replaces a missing prediction: equal to no label.
_MISSING = "\0"


def metric_range(metric: str) -> tuple[float | None, float | None]:
    """Return the lowest and the highest value that a metric can have; None for no limit."""
    if metric in _LOWER_IS_BETTER:
        return 0.0, None
    return (None, 1.0) if metric == "r2" else (0.0, 1.0)


def higher_is_better(metric: str) -> bool:
    """Whether a larger score is a better one; False for errors and losses."""
    return metric not in _LOWER_IS_BETTER


def score(
    task: Task,
    metric: str,
    y_true: Any,
    y_pred: Any,
    proba: Any = None,
    *,
    classes: Sequence[Any] | None = None,
    positive: str | None = None,
    known: Iterable[Any] = (),
) -> float:
    """Compute one metric of predictions against the truth.

    Parameters
    ----------
    y_true
        Labels, shape (n,). Rows without one are left out.
    y_pred
        Predictions, shape (n,). A missing one is wrong in classification; in regression it is left out,
        and :func:`all_metrics` reports their share.
    proba
        Probability of each class, shape (n, classes), or of the positive one, shape (n,); needed by
        ``roc_auc`` and ``log_loss``. A row without them counts as equal probabilities.
    classes
        Order of the columns of ``proba``; without it they are the sorted labels.
    positive
        The class that ``f1`` is computed of, as text, however many classes there are. Without it: the
        obvious one of two classes (see :func:`~homeostat.config.positive_class.obvious_positive`), or the
        plain mean over more than two.
    known
        Classes that the data has, besides ``classes`` and those of these rows: whether there are two.

    Raises
    ------
    DataError
        The metric cannot be computed from these rows: no row left, one class for ``roc_auc``, no
        probabilities, no row of the positive class for ``f1``, or two classes neither of which is obviously
        positive.
    ValueError
        A metric of another task, or lengths that differ.
    """
    if metric not in METRICS[task]:
        msg = f"metric {metric!r} is not defined for task {task}: choose one of {', '.join(METRICS[task])}"
        raise ValueError(msg)
    if task == "regression":
        truth, predicted = _numbers(y_true, y_pred)
        with np.errstate(over="ignore", invalid="ignore"):  # _finite raises instead
            return _finite(metric, _REGRESSION[metric](truth, predicted))
    labels, predicted, probabilities = _labels(y_true, y_pred, proba)
    if metric in ("roc_auc", "log_loss"):
        return _finite(metric, _probabilistic(metric, labels, probabilities, classes))
    if metric == "f1":
        names = {*label_texts(classes if classes is not None else ()), *label_texts(known)}
        seen = {*labels, *predicted[predicted != _MISSING]}
        return f1(labels, predicted, {str(name) for name in names | seen if name is not None}, positive)
    return _accuracy(labels, predicted) if metric == "accuracy" else _balanced_accuracy(labels, predicted)


def all_metrics(
    task: Task,
    y_true: Any,
    y_pred: Any,
    proba: Any = None,
    *,
    classes: Sequence[Any] | None = None,
    positive: str | None = None,
    known: Iterable[Any] = (),
) -> dict[str, float]:
    """Compute every metric that these rows allow, ``nan_rate`` (missing predictions) and ``rows`` (labelled).

    Raises
    ------
    DataError
        No row has a label.
    """
    labelled = pd.notna(_flatten(y_true))
    if not labelled.any():
        msg = "no row has a label yet: performance cannot be computed"
        raise DataError(msg)
    given = _predicted(task, _flatten(y_pred))
    out = {"rows": float(labelled.sum()), "nan_rate": float(1 - given[labelled].mean())}
    for metric in METRICS[task]:
        try:
            out[metric] = score(
                task, metric, y_true, y_pred, proba, classes=classes, positive=positive, known=known
            )
        except DataError:  # not computable from these rows; the others may be
            continue
    return out


def why_undefined(*args: Any, **more: Any) -> str:
    """Return why :func:`score` cannot compute a metric from these rows; "" when it can."""
    try:
        score(*args, **more)
    except DataError as error:
        return str(error)
    return ""


def _flatten(values: Any) -> Array:
    array = np.asarray(values)
    return array.reshape(-1) if array.dtype.kind in "biuf" else np.asarray(values, dtype=object).reshape(-1)


def _predicted(task: Task, predicted: Array) -> npt.NDArray[np.bool_]:
    if task == "regression":
        return np.isfinite(np.asarray(pd.to_numeric(pd.Series(predicted), errors="coerce"), dtype=np.float64))
    return np.asarray(pd.notna(predicted), dtype=bool)


def _same_length(truth: Array, predicted: Array) -> None:
    if len(truth) != len(predicted):
        msg = f"{len(truth)} labels, but {len(predicted)} predictions: pass the same rows"
        raise ValueError(msg)


def _numbers(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    truth, predicted = _flatten(y_true), _flatten(y_pred)
    _same_length(truth, predicted)
    both = np.stack(
        [np.asarray(pd.to_numeric(pd.Series(x), errors="coerce"), np.float64) for x in (truth, predicted)]
    )
    kept = both[:, np.isfinite(both).all(axis=0)]
    if not kept.size:
        msg = f"none of {len(truth)} rows has both a label and a finite prediction"
        raise DataError(msg)
    return kept[0], kept[1]


def _labels(y_true: Any, y_pred: Any, proba: Any) -> tuple[Array, Array, Array | None]:
    truth, predicted = _flatten(y_true), _flatten(y_pred)
    _same_length(truth, predicted)
    labelled = np.asarray(pd.notna(truth), dtype=bool)
    if not labelled.any():
        msg = f"none of {len(truth)} rows has a label"
        raise DataError(msg)
    probabilities = None if proba is None else np.asarray(proba, dtype=np.float64)
    if probabilities is not None and len(probabilities) != len(truth):
        msg = f"{len(truth)} labels, but {len(probabilities)} rows of probabilities: pass the same rows"
        raise ValueError(msg)
    labels_text = np.array(label_texts(truth[labelled].tolist()), dtype=object)
    given = [text if text is not None else _MISSING for text in label_texts(predicted[labelled].tolist())]
    return (
        labels_text,
        np.array(given, dtype=object),
        None if probabilities is None else probabilities[labelled],
    )


def _accuracy(labels: Array, predicted: Array) -> float:
    return float((labels == predicted).mean())


def _balanced_accuracy(labels: Array, predicted: Array) -> float:
    return float(np.mean([(predicted[labels == name] == name).mean() for name in np.unique(labels)]))


def _probabilistic(
    metric: str, labels: Array, probabilities: Array | None, classes: Sequence[Any] | None
) -> float:
    if probabilities is None:
        msg = f"{metric} needs the probability of every class; this model gives none"
        raise DataError(msg)
    if probabilities.ndim == 1:
        probabilities = np.column_stack([1 - probabilities, probabilities])
    names = [str(text) for text in label_texts(classes if classes is not None else sorted(set(labels)))]
    if len(names) != probabilities.shape[1]:
        msg = (
            f"{metric}: probabilities have {probabilities.shape[1]} columns for {len(names)} classes "
            f"({', '.join(names[:5])}): pass classes= in the order of the columns"
        )
        raise DataError(msg)
    unknown = sorted(set(labels) - set(names))
    if unknown:
        msg = f"{metric}: label {unknown[0]!r} is not one of the classes {', '.join(names[:5])}"
        raise DataError(msg)
    at = np.array([names.index(name) for name in labels])
    probabilities = np.where(
        np.isfinite(probabilities).all(axis=1, keepdims=True), probabilities, 1 / len(names)
    )
    if metric == "log_loss":
        own = np.clip(probabilities[np.arange(len(at)), at], np.finfo(np.float64).eps, 1.0)
        return float(-np.log(own).mean())
    if len(set(at)) < 2:
        msg = f"roc_auc needs at least two classes among the labels, found only {names[at[0]]!r}"
        raise DataError(msg)
    if len(names) == 2:
        return _roc_auc(at == 1, probabilities[:, 1])
    present = sorted(set(at.tolist()))
    return float(np.mean([_roc_auc(at == one, probabilities[:, one]) for one in present]))


def _roc_auc(positive: Array, share: Array) -> float:
    """Return the area under the ROC curve: the chance that a positive row is ranked higher.

    Ties count half. H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is
    stochastically larger than the other" (1947). Without scikit-learn, which is not installed everywhere that
    a check runs.
    """
    _, place, rows = np.unique(share, return_inverse=True, return_counts=True)
    right = np.bincount(place[positive], minlength=len(rows))
    wrong = rows - right
    below = np.cumsum(wrong) - wrong
    return float(right @ (below + wrong / 2)) / (int(right.sum()) * int(wrong.sum()))


def _r2(truth: Array, predicted: Array) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    if not spread:
        msg = "r2 needs labels that differ"
        raise DataError(msg)
    return 1 - float(((truth - predicted) ** 2).sum()) / spread


_REGRESSION: dict[str, Callable[[Array, Array], float]] = {
    "mae": lambda truth, predicted: float(np.abs(truth - predicted).mean()),
    "rmse": lambda truth, predicted: float(np.sqrt(((truth - predicted) ** 2).mean())),
    "r2": _r2,
}


def _finite(metric: str, value: float) -> float:
    if not np.isfinite(value):
        msg = f"{metric} is {value}: the numbers are too large"
        raise DataError(msg)
    return value
