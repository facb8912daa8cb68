"""One interface to any fitted estimator: predictions, confidence and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from homeostat.bundle.boosters.known import library_of
from homeostat.bundle.boosters.labels import unwrapped
from homeostat.bundle.committee import Committee
from homeostat.bundle.failures import estimator_failure
from homeostat.bundle.inputs import takes_matrix, typed_inputs
from homeostat.bundle.onnx_format.model import OnnxModel
from homeostat.bundle.pipeline import pipeline_name
from homeostat.bundle.threshold import positive_position
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError, PipelineError
from homeostat.config.label_text import SPELLING

#: Last steps whose ``predict`` is the class of largest ``predict_proba``: one call is enough.
_ARGMAX = frozenset(
    {
        "DecisionTreeClassifier",
        "ExtraTreesClassifier",
        "GaussianNB",
        "GradientBoostingClassifier",
        "HistGradientBoostingClassifier",
        "LGBMClassifier",
        "LogisticRegression",
        "MLPClassifier",
        "RandomForestClassifier",
        "XGBClassifier",
        "XGBRFClassifier",
    }
)


@dataclass(frozen=True, slots=True)
class Predictions:
    """A model's predictions of n rows.

    ``prediction`` has class labels or numbers, shape (n,); a missing one is NaN, or None among text labels;
    infinities count as missing. ``confidence`` is the probability of each row's predicted class, without a
    threshold the largest one (None where the model has no probabilities), ``proba`` all of them, shape
    (n, classes).
    """

    prediction: np.ndarray
    confidence: np.ndarray | None = None
    proba: np.ndarray | None = None

    @property
    def missing(self) -> np.ndarray:
        """Return which rows have no prediction, shape (n,)."""
        return np.asarray(pd.isna(self.prediction))


@dataclass(frozen=True, slots=True)
class Predictor:
    """An estimator with the types of its features.

    ``as_matrix``: it was fitted without column names. ``spelling``: the rules of
    :mod:`homeostat.config.label_text` by which its categories were spelled. ``pipeline`` names file and
    function in errors. ``threshold`` is the probability from which on the class ``positive`` is predicted, of
    two classes; None for the largest probability. ``classes`` is None for a regression, and for an estimator
    without ``classes_``.
    """

    estimator: Any
    kinds: Mapping[str, Literal["number", "category"]]
    task: Literal["classification", "regression"]
    as_matrix: bool
    spelling: int = SPELLING
    pipeline: str = ""
    threshold: float | None = None
    positive: str | None = None
    classes: np.ndarray | None = field(init=False, default=None)
    _positive_at: int | None = field(init=False, default=None)
    _one_call: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        classes = getattr(self.estimator, "classes_", None) if self.task == "classification" else None
        own = isinstance(self.estimator, Committee) or _predicts_largest(unwrapped(self.estimator))
        object.__setattr__(self, "classes", None if classes is None else np.asarray(classes))
        if self.threshold is not None and self.classes is not None:
            own = True
            at = positive_position(
                self.classes, self.positive, self.pipeline or type(self.estimator).__name__
            )
            object.__setattr__(self, "_positive_at", at)
            if not hasattr(self.estimator, "predict_proba"):
                msg = (
                    f"{self.pipeline}: threshold needs probabilities, and the estimator has no predict_proba"
                )
                raise PipelineError(msg)
        object.__setattr__(self, "_one_call", bool(own and self.classes is not None))

    @classmethod
    def of(cls, config: ModelConfig, estimator: Any, spec: str | None = None) -> Self:
        """Wrap an estimator that :func:`~homeostat.retraining.fit.fit` has fitted."""
        kinds = {name: feature.type for name, feature in config.columns.features.items()}
        as_matrix, pipeline = takes_matrix(estimator, config), pipeline_name(config, spec)
        positive = config.columns.label.positive
        how = {"threshold": config.threshold, "positive": positive} if config.threshold is not None else {}
        return cls(estimator, kinds, config.task, as_matrix, pipeline=pipeline, **how)  # type: ignore[arg-type]

    def predict(self, frame: pd.DataFrame) -> Predictions:
        """Predict rows that have (at least) the feature columns, with the types of ``coerce_rows``.

        Raises
        ------
        DataError
            A feature is missing.
        PipelineError
            The estimator fails, or does not return one value per row.
        """
        inputs = typed_inputs(frame, dict(self.kinds), as_matrix=self.as_matrix, spelling=self.spelling)
        try:
            return self._predict(inputs)
        except HomeostatError:
            raise
        except Exception as error:  # the user's own code
            where = self.pipeline or type(self.estimator).__name__
            raise estimator_failure(
                error, "predict", where, self.task, self.estimator, inputs, list(self.kinds)
            ) from error

    def predict_typed(self, frame: pd.DataFrame) -> Predictions:
        """As :meth:`predict`, for a frame of exactly the features: float64, and ``str`` in its spelling."""
        return self._predict(frame.to_numpy(dtype=np.float64) if self.as_matrix else frame)

    def predict_matrix(self, matrix: np.ndarray) -> Predictions:
        """Predict rows of a float64 matrix, columns in the order of the features.

        Only for models whose features are all numbers. This is the fast way for ``as_matrix``; an estimator
        that needs column names gets them.

        Raises
        ------
        TypeError
            A feature is a category.
        """
        if "category" in self.kinds.values():
            msg = "this model has category features: call predict with a DataFrame"
            raise TypeError(msg)
        return self._predict(matrix if self.as_matrix else pd.DataFrame(matrix, columns=list(self.kinds)))

    def _predict(self, inputs: Any) -> Predictions:
        rows = len(inputs)
        if not rows:
            return self._no_rows()
        proba = self._probabilities(inputs)
        if self._one_call and proba is not None and self.classes is not None:
            chosen = self._choose(proba)
            predicted = self.classes[chosen]
        else:
            chosen = None
            predicted = np.asarray(self.estimator.predict(inputs))
        predicted = _checked(predicted, rows, self.task)
        if proba is None:
            return Predictions(predicted)
        if proba.ndim != 2 or len(proba) != rows:
            msg = f"predict_proba returned shape {proba.shape} for {rows} rows: expected (rows, classes)"
            raise PipelineError(msg)
        bad = ~np.isfinite(proba).all(axis=1)
        if bad.any():
            predicted = _blank(predicted, bad) if self._one_call else predicted
            proba = np.where(bad[:, None], np.nan, proba)
        if self._positive_at is not None and chosen is not None:
            return Predictions(predicted, proba[np.arange(rows), chosen], proba)
        return Predictions(predicted, proba.max(axis=1), proba)

    def _choose(self, proba: np.ndarray) -> np.ndarray:
        """Return the position of the class of each row: of the largest probability, or by the threshold."""
        found: np.ndarray = proba.argmax(axis=1)
        if self._positive_at is not None:
            at = self._positive_at
            found = np.where(proba[:, at] >= self.threshold, at, 1 - at)
        return found

    def _probabilities(self, inputs: Any) -> np.ndarray | None:
        # Some wrappers have predict_proba only when the wrapped estimator has it.
        if self.task == "regression" or not hasattr(self.estimator, "predict_proba"):
            return None
        return np.asarray(self.estimator.predict_proba(inputs), dtype=np.float64)

    def _no_rows(self) -> Predictions:
        if self.classes is None:
            return Predictions(np.empty(0))
        empty = np.empty((0, len(self.classes)))
        if not hasattr(self.estimator, "predict_proba"):
            return Predictions(self.classes[:0])
        return Predictions(self.classes[:0], empty[:, 0], empty)


def _predicts_largest(estimator: Any) -> bool:
    if isinstance(estimator, OnnxModel):
        return True
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    # CatBoost is not among them: a model of its may have a threshold of its own.
    known = type(last).__module__.startswith("sklearn.") or library_of(last) in ("lightgbm", "xgboost")
    return known and type(last).__name__ in _ARGMAX


def _checked(predicted: np.ndarray, rows: int, task: str) -> np.ndarray:
    if predicted.ndim == 2 and predicted.shape[1] == 1:
        predicted = predicted[:, 0]
    if predicted.shape != (rows,):
        msg = f"predict returned shape {predicted.shape} for {rows} rows: expected one value per row"
        raise PipelineError(msg)
    if task == "regression":
        try:
            predicted = predicted.astype(np.float64)
        except (TypeError, ValueError):
            msg = f"predict returned {predicted.dtype} values: a regression must return numbers"
            raise PipelineError(msg) from None
    if predicted.dtype.kind == "f" and np.isinf(predicted).any():
        return _blank(predicted, np.isinf(predicted))
    return predicted


def _blank(predicted: np.ndarray, bad: np.ndarray) -> np.ndarray:
    """Return the predictions with missing values where ``bad``."""
    numeric = predicted.dtype.kind in "biuf"
    blanked: np.ndarray = predicted.astype(np.float64 if numeric else object)
    blanked[bad] = np.nan if numeric else None
    return blanked
