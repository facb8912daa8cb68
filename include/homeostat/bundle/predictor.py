"""A fitted estimator behind one face: labels, confidence and probabilities for any kind of model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from homeostat.bundle.inputs import takes_matrix, typed_inputs
from homeostat.config import ModelConfig
from homeostat.config.errors import PipelineError

#: Last steps whose ``predict`` is the class of largest ``predict_proba``: asking once is enough.
_ARGMAX = frozenset(
    {
        "DecisionTreeClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "LogisticRegression",
        "MLPClassifier",
        "RandomForestClassifier",
    }
)


@dataclass(frozen=True, slots=True)
class Answers:
    """A model's answers to some rows.

    ``prediction`` holds class labels or numbers, shape (n,); a missing answer is NaN, or None among
    text labels; infinities count as missing. ``confidence`` is the largest class probability per row
    (None where the model gives none), ``proba`` all of them, shape (n, classes).
    """

    prediction: np.ndarray
    confidence: np.ndarray | None = None
    proba: np.ndarray | None = None

    @property
    def missing(self) -> np.ndarray:
        """Rows without an answer."""
        return np.asarray(pd.isna(self.prediction))


@dataclass(frozen=True, slots=True)
class Predictor:
    """An estimator, and what it has to be given.

    ``as_matrix`` says that it was fitted without column names; ``classes`` is None for a regression
    or where the estimator does not tell.
    """

    estimator: Any
    kinds: Mapping[str, Literal["number", "category"]]
    task: Literal["classification", "regression"]
    as_matrix: bool
    classes: np.ndarray | None = field(init=False, default=None)
    _one_call: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        classes = getattr(self.estimator, "classes_", None) if self.task == "classification" else None
        last = self.estimator.steps[-1][1] if hasattr(self.estimator, "steps") else self.estimator
        own = type(last).__module__.startswith("sklearn.") and type(last).__name__ in _ARGMAX
        object.__setattr__(self, "classes", None if classes is None else np.asarray(classes))
        object.__setattr__(self, "_one_call", bool(own and self.classes is not None))

    @classmethod
    def of(cls, config: ModelConfig, estimator: Any) -> Self:
        """Wrap an estimator that :func:`~homeostat.retraining.fit.fit` has fitted."""
        kinds = {name: feature.type for name, feature in config.columns.features.items()}
        return cls(estimator, kinds, config.task, takes_matrix(estimator, config))

    def predict(self, frame: pd.DataFrame) -> Answers:
        """Answer rows that have (at least) the feature columns, typed as ``conform`` types them.

        Raises
        ------
        DataError
            A feature is missing.
        PipelineError
            The estimator does not answer one value a row.
        """
        return self._ask(typed_inputs(frame, dict(self.kinds), as_matrix=self.as_matrix))

    def predict_typed(self, frame: pd.DataFrame) -> Answers:
        """As :meth:`predict`, for a frame of exactly the features, in order, float64 and ``str`` columns."""
        return self._ask(frame.to_numpy(dtype=np.float64) if self.as_matrix else frame)

    def predict_matrix(self, matrix: np.ndarray) -> Answers:
        """Answer rows given as a float64 matrix, columns in the order of the features.

        Only for models whose features are all numbers. This is the fast way where ``as_matrix``; an
        estimator that needs column names still gets them.

        Raises
        ------
        TypeError
            Some feature is a category.
        """
        if "category" in self.kinds.values():
            msg = "this model has categories among its features: ask it with a DataFrame"
            raise TypeError(msg)
        return self._ask(matrix if self.as_matrix else pd.DataFrame(matrix, columns=list(self.kinds)))

    def _ask(self, inputs: Any) -> Answers:
        rows = len(inputs)
        if not rows:
            return self._nothing()
        proba = self._probabilities(inputs)
        if self._one_call and proba is not None and self.classes is not None:
            answers = self.classes[proba.argmax(axis=1)]
        else:
            answers = np.asarray(self.estimator.predict(inputs))
        answers = _checked(answers, rows, self.task)
        if proba is None:
            return Answers(answers)
        if proba.ndim != 2 or len(proba) != rows:
            msg = f"predict_proba answered shape {proba.shape} for {rows} rows: expected (rows, classes)"
            raise PipelineError(msg)
        bad = ~np.isfinite(proba).all(axis=1)
        if bad.any():
            answers = _blank(answers, bad) if self._one_call else answers
            proba = np.where(bad[:, None], np.nan, proba)
        return Answers(answers, proba.max(axis=1), proba)

    def _probabilities(self, inputs: Any) -> np.ndarray | None:
        # Some wrappers have predict_proba only when what they wrap has: hasattr asks them.
        if self.task == "regression" or not hasattr(self.estimator, "predict_proba"):
            return None
        return np.asarray(self.estimator.predict_proba(inputs), dtype=np.float64)

    def _nothing(self) -> Answers:
        if self.classes is None:
            return Answers(np.empty(0))
        empty = np.empty((0, len(self.classes)))
        sure = hasattr(self.estimator, "predict_proba")
        return Answers(self.classes[:0], empty[:, 0] if sure else None, empty if sure else None)


def _checked(answers: np.ndarray, rows: int, task: str) -> np.ndarray:
    if answers.ndim == 2 and answers.shape[1] == 1:
        answers = answers[:, 0]
    if answers.shape != (rows,):
        msg = f"predict answered shape {answers.shape} for {rows} rows: expected one value a row"
        raise PipelineError(msg)
    if task == "regression":
        try:
            answers = answers.astype(np.float64)
        except (TypeError, ValueError):
            msg = f"predict answered {answers.dtype} values: a regression has to answer numbers"
            raise PipelineError(msg) from None
    if answers.dtype.kind == "f" and np.isinf(answers).any():
        return _blank(answers, np.isinf(answers))
    return answers


def _blank(answers: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """The same answers with none where ``bad``."""
    numeric = answers.dtype.kind in "biuf"
    blanked: np.ndarray = answers.astype(np.float64 if numeric else object)
    blanked[bad] = np.nan if numeric else None
    return blanked
