"""Class labels as 0, 1, ... for estimators that take no others, such as XGBoost's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from homeostat.bundle.committee import Committee


class EncodedLabels:
    """A classifier that was fitted on positions in ``classes``, and predicts the classes themselves.

    Parameters
    ----------
    estimator
        Fitted on the labels 0, 1, ..., len(classes) - 1.
    classes
        The class of each, in ascending order, shape (classes,).
    """

    def __init__(self, estimator: Any, classes: np.ndarray) -> None:
        self.estimator = estimator
        self.classes_ = classes

    def predict(self, inputs: Any) -> np.ndarray:
        """Return the class of each row, shape (rows,)."""
        found: np.ndarray = self.classes_[np.asarray(self.estimator.predict(inputs)).reshape(-1).astype(int)]
        return found

    @property
    def predict_proba(self) -> Callable[[Any], np.ndarray]:
        """Return the estimator's ``predict_proba``; AttributeError where it has none."""
        found: Callable[[Any], np.ndarray] = self.estimator.predict_proba
        return found


def encode_labels(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the classes and each label's position among them; None where the labels are the positions."""
    classes, codes = np.unique(labels, return_inverse=True)
    if labels.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes))):
        return None
    return classes, codes


def unwrapped(estimator: Any) -> Any:
    """Return the estimator that the user's pipeline built: of a committee, the first member's."""
    if isinstance(estimator, Committee):
        estimator = estimator.members[0]
    return estimator.estimator if isinstance(estimator, EncodedLabels) else estimator
