"""A pipeline that goes wrong in the ways that get past offline checks: NaN now and then, and slow."""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyClassifier, DummyRegressor


class _Unsteady(BaseEstimator):  # type: ignore[misc]  # scikit-learn comes without types
    """Answers like a dummy, but some rows get NaN and every call takes its time.

    Parameters
    ----------
    nan_share
        Share of rows that are answered with NaN, chosen by the row's own values, so that the same row
        is always bad.
    delay
        Seconds that each call takes.
    """

    def __init__(self, nan_share: float = 0.3, delay: float = 0.03) -> None:
        self.nan_share = nan_share
        self.delay = delay

    def _bad(self, rows: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
        import pandas as pd

        codes = pd.util.hash_pandas_object(pd.DataFrame(rows).astype(str), index=False).to_numpy()
        return np.asarray(codes % 1000 < self.nan_share * 1000)


class UnsteadyClassifier(ClassifierMixin, _Unsteady):  # type: ignore[misc]
    """The classifier; ``classes_`` are numbers, so that NaN has a place among the answers."""

    def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> Self:  # noqa: ARG002  # sklearn's signature
        """Remember how frequent the classes are."""
        self.dummy_ = DummyClassifier(strategy="prior").fit(np.zeros((len(labels), 1)), labels)
        self.classes_ = self.dummy_.classes_
        return self

    def predict_proba(self, rows: Any) -> Any:
        """Class probabilities, shape (rows, classes); NaN in the bad rows."""
        time.sleep(self.delay)
        proba = self.dummy_.predict_proba(np.zeros((len(rows), 1))).astype(float)
        proba[self._bad(rows)] = np.nan
        return proba

    def predict(self, rows: Any) -> Any:
        """Class labels as floats; NaN in the bad rows."""
        time.sleep(self.delay)
        answers = np.asarray(self.dummy_.predict(np.zeros((len(rows), 1))), dtype=float)
        answers[self._bad(rows)] = np.nan
        return answers


class UnsteadyRegressor(RegressorMixin, _Unsteady):  # type: ignore[misc]
    """The regressor."""

    def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> Self:  # noqa: ARG002  # sklearn's signature
        """Remember the mean."""
        self.dummy_ = DummyRegressor().fit(np.zeros((len(labels), 1)), labels)
        return self

    def predict(self, rows: Any) -> Any:
        """The mean, shape (rows,); NaN in the bad rows."""
        time.sleep(self.delay)
        answers = np.asarray(self.dummy_.predict(np.zeros((len(rows), 1))), dtype=float)
        answers[self._bad(rows)] = np.nan
        return answers


def classifier() -> BaseEstimator:
    """The broken candidate of the demonstration, for classification."""
    return UnsteadyClassifier()


def regressor() -> BaseEstimator:
    """The broken candidate of the demonstration, for regression."""
    return UnsteadyRegressor()


#: What the demonstration tells the platform to trust besides its own list.
TRUSTED = (
    "homeostat.demo.faults.UnsteadyClassifier",
    "homeostat.demo.faults.UnsteadyRegressor",
)
