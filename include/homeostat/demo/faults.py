"""A broken pipeline: some NaN predictions, and slow calls."""

from __future__ import annotations

import time
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.dummy import DummyClassifier, DummyRegressor


class _Faulty(BaseEstimator):  # type: ignore[misc]  # scikit-learn comes without types
    """Predicts like a dummy, but NaN for some rows, and slowly.

    Parameters
    ----------
    nan_share
        Share of rows with a NaN prediction, chosen by the row's values, so that the same row always gets it.
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


class FaultyClassifier(ClassifierMixin, _Faulty):  # type: ignore[misc]
    """The classifier; ``classes_`` are numbers, so that a prediction can be NaN."""

    def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> Self:  # noqa: ARG002  # sklearn's signature
        """Fit the class frequencies."""
        self.dummy_ = DummyClassifier(strategy="prior").fit(np.zeros((len(labels), 1)), labels)
        self.classes_ = self.dummy_.classes_
        return self

    def predict_proba(self, rows: Any) -> Any:
        """Return class probabilities, shape (rows, classes); NaN in the bad rows."""
        time.sleep(self.delay)
        proba = self.dummy_.predict_proba(np.zeros((len(rows), 1))).astype(float)
        proba[self._bad(rows)] = np.nan
        return proba

    def predict(self, rows: Any) -> Any:
        """Return class labels as floats; NaN in the bad rows."""
        time.sleep(self.delay)
        predictions = np.asarray(self.dummy_.predict(np.zeros((len(rows), 1))), dtype=float)
        predictions[self._bad(rows)] = np.nan
        return predictions


class FaultyRegressor(RegressorMixin, _Faulty):  # type: ignore[misc]
    """The regressor."""

    def fit(self, rows: Any, labels: Any, sample_weight: Any = None) -> Self:  # noqa: ARG002  # sklearn's signature
        """Fit the mean."""
        self.dummy_ = DummyRegressor().fit(np.zeros((len(labels), 1)), labels)
        return self

    def predict(self, rows: Any) -> Any:
        """Return the mean, shape (rows,); NaN in the bad rows."""
        time.sleep(self.delay)
        predictions = np.asarray(self.dummy_.predict(np.zeros((len(rows), 1))), dtype=float)
        predictions[self._bad(rows)] = np.nan
        return predictions


def classifier() -> BaseEstimator:
    """Return the demo's broken candidate for classification."""
    return FaultyClassifier()


def regressor() -> BaseEstimator:
    """Return the demo's broken candidate for regression."""
    return FaultyRegressor()


#: Types that the demo adds to the platform's trusted types.
TRUSTED_TYPES = (
    "homeostat.demo.faults.FaultyClassifier",
    "homeostat.demo.faults.FaultyRegressor",
)
