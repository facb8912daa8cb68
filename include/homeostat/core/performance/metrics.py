"""Metrics by the names of model.yaml, for answers that may be missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from homeostat.config.errors import DataError
from homeostat.config.label_text import label_texts

Task = Literal["classification", "regression"]
Array = npt.NDArray[Any]

_LOWER_IS_BETTER = ("log_loss", "mae", "rmse")
METRICS: dict[str, tuple[str, ...]] = {
    "classification": ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss"),
    "regression": ("mae", "rmse", "r2"),
}
#: What stands for an answer that did not come: equal to no label.
_NO_ANSWER = "\0"


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
) -> float:
    """Score answers against the truth, one metric.

    Parameters
    ----------
    y_true
        Labels, shape (n,). Rows without one are left out.
    y_pred
        Answers, shape (n,). A missing one is wrong in classification; in regression it is left out,
        and :func:`all_metrics` says how many there were.
    proba
        Probability of each class, shape (n, classes), or of the positive one, shape (n,); needed by
        ``roc_auc`` and ``log_loss``. A row without it counts as an even guess.
    classes
        Order of the columns of ``proba``; without it they are the sorted labels.

    Raises
    ------
    DataError
        The metric cannot be computed from these rows: no row left, one class for ``roc_auc``, no
        probabilities. No evidence is never a score.
    ValueError
        A metric of another task, or lengths that differ.
    """
    if metric not in METRICS[task]:
        msg = f"metric {metric!r} does not fit task {task}: choose one of {', '.join(METRICS[task])}"
        raise ValueError(msg)
    if task == "regression":
        truth, answer = _numbers(y_true, y_pred)
        with np.errstate(over="ignore", invalid="ignore"):  # _finite says it in a sentence
            return _finite(metric, _REGRESSION[metric](truth, answer))
    labels, answers, shares = _labels(y_true, y_pred, proba)
    if metric in ("roc_auc", "log_loss"):
        return _finite(metric, _probabilistic(metric, labels, shares, classes))
    if metric == "f1":
        return _f1(labels, answers, classes)
    return _accuracy(labels, answers) if metric == "accuracy" else _balanced_accuracy(labels, answers)


def all_metrics(
    task: Task, y_true: Any, y_pred: Any, proba: Any = None, *, classes: Sequence[Any] | None = None
) -> dict[str, float]:
    """Every metric that these rows allow, with ``nan_rate`` (missing answers) and ``rows`` (labelled ones).

    Raises
    ------
    DataError
        No row has a label: there is nothing to say about performance.
    """
    there = pd.notna(_flat(y_true))
    if not there.any():
        msg = "no row has a label yet: performance cannot be computed"
        raise DataError(msg)
    answered = _answered(task, _flat(y_pred))
    out = {"rows": float(there.sum()), "nan_rate": float(1 - answered[there].mean())}
    for metric in METRICS[task]:
        try:
            out[metric] = score(task, metric, y_true, y_pred, proba, classes=classes)
        except DataError:  # this one needs what is not there; the others do not
            continue
    return out


def _flat(values: Any) -> Array:
    array = np.asarray(values)
    return array.reshape(-1) if array.dtype.kind in "biuf" else np.asarray(values, dtype=object).reshape(-1)


def _answered(task: Task, answers: Array) -> npt.NDArray[np.bool_]:
    if task == "regression":
        return np.isfinite(np.asarray(pd.to_numeric(pd.Series(answers), errors="coerce"), dtype=np.float64))
    return np.asarray(pd.notna(answers), dtype=bool)


def _same_length(truth: Array, answers: Array) -> None:
    if len(truth) != len(answers):
        msg = f"{len(truth)} labels and {len(answers)} answers: they must be of the same rows"
        raise ValueError(msg)


def _numbers(y_true: Any, y_pred: Any) -> tuple[Array, Array]:
    truth, answers = _flat(y_true), _flat(y_pred)
    _same_length(truth, answers)
    both = np.stack(
        [np.asarray(pd.to_numeric(pd.Series(x), errors="coerce"), np.float64) for x in (truth, answers)]
    )
    kept = both[:, np.isfinite(both).all(axis=0)]
    if not kept.size:
        msg = f"none of {len(truth)} rows has both a label and a finite answer"
        raise DataError(msg)
    return kept[0], kept[1]


def _labels(y_true: Any, y_pred: Any, proba: Any) -> tuple[Array, Array, Array | None]:
    truth, answers = _flat(y_true), _flat(y_pred)
    _same_length(truth, answers)
    there = np.asarray(pd.notna(truth), dtype=bool)
    if not there.any():
        msg = f"none of {len(truth)} rows has a label"
        raise DataError(msg)
    shares = None if proba is None else np.asarray(proba, dtype=np.float64)
    if shares is not None and len(shares) != len(truth):
        msg = f"{len(truth)} labels and {len(shares)} rows of probabilities: they must be of the same rows"
        raise ValueError(msg)
    spelt = np.array(label_texts(truth[there].tolist()), dtype=object)
    given = [text if text is not None else _NO_ANSWER for text in label_texts(answers[there].tolist())]
    return spelt, np.array(given, dtype=object), None if shares is None else shares[there]


def _accuracy(labels: Array, answers: Array) -> float:
    return float((labels == answers).mean())


def _balanced_accuracy(labels: Array, answers: Array) -> float:
    return float(np.mean([(answers[labels == name] == name).mean() for name in np.unique(labels)]))


def _f1(labels: Array, answers: Array, classes: Sequence[Any] | None) -> float:
    """F1 of the last of two classes, in the order of their names; the plain mean over more than two."""
    seen = {*labels, *answers[answers != _NO_ANSWER], *label_texts(classes if classes is not None else ())}
    names = sorted(str(name) for name in seen)
    if len(names) == 2:
        names = names[1:]
    right = [int(((labels == name) & (answers == name)).sum()) for name in names]
    said = [int((labels == name).sum() + (answers == name).sum()) for name in names]
    if not any(said):
        msg = f"f1 needs a row whose label or answer is the positive class {names[0]!r}"
        raise DataError(msg)
    return float(np.mean([2 * r / s if s else 0.0 for r, s in zip(right, said, strict=True)]))


def _probabilistic(metric: str, labels: Array, shares: Array | None, classes: Sequence[Any] | None) -> float:
    if shares is None:
        msg = f"{metric} needs the probability of every class; this model gives none"
        raise DataError(msg)
    if shares.ndim == 1:
        shares = np.column_stack([1 - shares, shares])
    names = [str(text) for text in label_texts(classes if classes is not None else sorted(set(labels)))]
    if len(names) != shares.shape[1]:
        msg = (
            f"{metric}: probabilities have {shares.shape[1]} columns for {len(names)} classes "
            f"({', '.join(names[:5])}): pass classes= in the order of the columns"
        )
        raise DataError(msg)
    strangers = sorted(set(labels) - set(names))
    if strangers:
        msg = f"{metric}: label {strangers[0]!r} is none of the classes {', '.join(names[:5])}"
        raise DataError(msg)
    at = np.array([names.index(name) for name in labels])
    shares = np.where(np.isfinite(shares).all(axis=1, keepdims=True), shares, 1 / len(names))
    if metric == "log_loss":
        own = np.clip(shares[np.arange(len(at)), at], np.finfo(np.float64).eps, 1.0)
        return float(-np.log(own).mean())
    if len(set(at)) < 2:
        msg = f"roc_auc needs at least two classes among the labels, found only {names[at[0]]!r}"
        raise DataError(msg)
    if len(names) == 2:
        return _area(at == 1, shares[:, 1])
    present = sorted(set(at.tolist()))
    return float(np.mean([_area(at == one, shares[:, one]) for one in present]))


def _area(positive: Array, share: Array) -> float:
    """Area under the ROC curve: the chance that a positive row has the larger share; ties count half.

    H. B. Mann and D. R. Whitney, "On a test of whether one of two random variables is stochastically larger
    than the other" (1947). Not by scikit-learn, so that a check can be computed where it is not installed.
    """
    _, place, rows = np.unique(share, return_inverse=True, return_counts=True)
    right = np.bincount(place[positive], minlength=len(rows))
    wrong = rows - right
    below = np.cumsum(wrong) - wrong
    return float(right @ (below + wrong / 2)) / (int(right.sum()) * int(wrong.sum()))


def _r2(truth: Array, answers: Array) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    if not spread:
        msg = "r2 needs labels that differ"
        raise DataError(msg)
    return 1 - float(((truth - answers) ** 2).sum()) / spread


_REGRESSION: dict[str, Callable[[Array, Array], float]] = {
    "mae": lambda truth, answers: float(np.abs(truth - answers).mean()),
    "rmse": lambda truth, answers: float(np.sqrt(((truth - answers) ** 2).mean())),
    "r2": _r2,
}


def _finite(metric: str, value: float) -> float:
    if not np.isfinite(value):
        msg = f"{metric} came out as {value}: the numbers are too large to be compared"
        raise DataError(msg)
    return value
