"""Predictions of every version on every window, computed once, and their scores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from homeostat.backtesting.windows import SplitHistory
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.label_text import label_texts

if TYPE_CHECKING:
    from homeostat.bundle.predictor import Predictor


@dataclass(frozen=True, slots=True)
class LabelledPredictions:
    """Predictions for labelled rows, with their true labels."""

    truth: np.ndarray
    predicted: np.ndarray


@dataclass(frozen=True, slots=True)
class StoredPredictions:
    """A version's predictions of all labelled rows of the windows from ``first`` on, in a file.

    The file holds numbers, or for classes their positions in ``texts`` (-1: missing). ``failures`` has the
    message of each window that the version could not predict.
    """

    path: Path
    first: int
    texts: tuple[str | None, ...]
    failures: dict[int, str]


class PredictionCache:
    """Windows of a history, versions by key, and their predictions.

    Predictions of the versions that are trained after every window lie in files, so that memory does not grow
    with the number of windows. Those of other versions are computed once and kept.

    Rows that violate the schema are left out for every policy, as a scoring job would leave them out.
    """

    def __init__(self, config: ModelConfig, history: SplitHistory) -> None:
        from homeostat.core.performance import with_positive_class
        from homeostat.core.training_data import coerce_rows

        self.history = history
        self.score_name = "mae" if config.task == "regression" else config.served_metric
        typed = coerce_rows(history.rows, config, label=True)
        self._labelled = typed.rows
        #: In words, which rows are left out for every policy, and by which rules; "" without any.
        self.left_out = _left_out(typed.quarantined, len(history.rows))
        self._classes = _classes(self._labelled, config)
        self.config = with_positive_class(config, self._classes)
        self._inputs = coerce_rows(history.rows, config).rows
        self._labelled_bounds = _window_bounds(self._labelled, history)
        self._input_bounds = _window_bounds(self._inputs, history)
        self._predictors: dict[str, Predictor] = {}
        self._predictions: dict[tuple[str, int], LabelledPredictions] = {}
        self._stored: dict[str, StoredPredictions] = {}
        self._truth = self._true_labels()

    @property
    def labelled_rows(self) -> int:
        """Number of labelled rows in all windows."""
        return self._labelled_bounds[-1] - self._labelled_bounds[0]

    def has_version(self, key: str) -> bool:
        """Whether a version was added under this key."""
        return key in self._predictors

    def add_version(self, key: str, predictor: Predictor) -> None:
        """Add a version under a key that identifies its content."""
        self._predictors.setdefault(key, predictor)

    def add_stored(self, key: str, stored: StoredPredictions) -> None:
        """Add a version whose predictions lie in a file."""
        self._stored[key] = stored

    def bounds(self) -> np.ndarray:
        """Return the position of each window's first labelled row, and of the end; shape (windows + 1,)."""
        return np.array(self._labelled_bounds)

    def labelled_from(self, index: int) -> pd.DataFrame:
        """Return the labelled rows of a window and all later ones."""
        return self._labelled.iloc[self._labelled_bounds[index] : self._labelled_bounds[-1]]

    def truth(self, index: int) -> np.ndarray:
        """Return a window's labels: numbers, or classes as text."""
        return self._truth[self._labelled_bounds[index] : self._labelled_bounds[index + 1]]

    def inputs(self, index: int) -> pd.DataFrame:
        """Return a window's rows, with or without labels."""
        return self._inputs.iloc[self._input_bounds[index] : self._input_bounds[index + 1]]

    def inputs_between(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Return the rows of ``[start, end)`` on the replay's clock, with or without labels."""
        times = self._inputs[self.config.columns.timestamp]
        begin, stop = times.searchsorted([pd.Timestamp(start), pd.Timestamp(end)])
        return self._inputs.iloc[begin:stop]

    def labelled(self, index: int) -> pd.DataFrame:
        """Return a window's labelled rows."""
        return self._labelled.iloc[self._labelled_bounds[index] : self._labelled_bounds[index + 1]]

    def add_mixed(self, keys: Sequence[str], served_by: np.ndarray, index: int) -> str:
        """Add the predictions of a window that several versions served; return their key.

        Parameters
        ----------
        keys
            The versions' keys.
        served_by
            Per labelled row of the window, the position of its version in ``keys``.
        """
        digest = hashlib.sha256(served_by.tobytes()).hexdigest()[:16]
        mixed = f"mixed {'|'.join(keys)} {digest}"
        parts = [self.predictions(key, index) for key in keys]
        predicted = np.choose(served_by, [part.predicted for part in parts])
        self._predictions[mixed, index] = LabelledPredictions(parts[0].truth, predicted)
        return mixed

    def predictions(self, key: str, index: int) -> LabelledPredictions:
        """Return a version's predictions for a window's labelled rows."""
        if key in self._stored:
            return LabelledPredictions(self.truth(index), self._read(self._stored[key], index))
        if (key, index) not in self._predictions:
            rows = self.labelled(index).reset_index(drop=True)
            predicted = self._predictors[key].predict(rows).prediction if len(rows) else np.empty(0)
            self._predictions[key, index] = LabelledPredictions(self.truth(index), self.as_labels(predicted))
        return self._predictions[key, index]

    def as_labels(self, predicted: np.ndarray) -> np.ndarray:
        """Return predictions as :meth:`truth` returns labels; missing ones are NaN or None."""
        if self.config.task == "regression":
            return np.asarray(predicted, dtype=np.float64)
        return np.array(label_texts(predicted), object)

    def _read(self, stored: StoredPredictions, index: int) -> np.ndarray:
        if index in stored.failures:
            raise DataError(stored.failures[index])
        bounds, first = self._labelled_bounds, self._labelled_bounds[stored.first]
        begin, end = bounds[index] - first, bounds[index + 1] - first
        found: np.ndarray = np.array(np.load(stored.path, mmap_mode="r")[begin:end])
        if self.config.task == "regression":
            return found
        labels: np.ndarray = np.array([*stored.texts, None], dtype=object)
        return np.asarray(labels[found])

    def _true_labels(self) -> np.ndarray:
        label = self._labelled[self.config.columns.label.name]
        if self.config.task == "regression":
            return np.asarray(label, dtype=np.float64)
        codes, values = pd.factorize(label)
        texts: np.ndarray = np.array([*label_texts(values), None], dtype=object)
        return np.asarray(texts[codes])

    def score(self, parts: Iterable[LabelledPredictions], metric: str | None = None) -> float | None:
        """Return the score over all rows of all parts; None when it is undefined."""
        from homeostat.core.performance import score

        found = list(parts)
        truth = np.concatenate([part.truth for part in found]) if found else np.empty(0)
        if not len(truth):
            return None
        predicted = np.concatenate([part.predicted for part in found])
        try:
            return score(
                self.config.task,
                metric or self.score_name,
                truth,
                predicted,
                positive=self.config.columns.label.positive,
                known=self._classes,
            )
        except DataError:  # the metric is undefined on these rows, for example AUC with one class
            return None

    def losses(self, part: LabelledPredictions) -> np.ndarray:
        """Return the loss per row: 0 or 1 for classes, the absolute error for regression (NaN: missing)."""
        if self.config.task == "regression":
            return np.asarray(np.abs(part.truth - part.predicted))
        return np.asarray(part.truth != part.predicted, dtype=np.float64)


def _left_out(quarantined: pd.DataFrame, rows: int) -> str:
    from homeostat.core.training_data import causes_in_words, coercion_causes

    if quarantined.empty:
        return ""
    return f"{len(quarantined)} of {rows} rows are left out: {causes_in_words(coercion_causes(quarantined))}"


def _classes(labelled: pd.DataFrame, config: ModelConfig) -> list[str]:
    if config.task == "regression":
        return []
    found = label_texts(labelled[config.columns.label.name].unique())
    return [text for text in found if text is not None]


def _window_bounds(rows: pd.DataFrame, history: SplitHistory) -> list[int]:
    edges = [window.start for window in history.windows] + [history.windows[-1].end]
    return [int(position) for position in rows[history.timestamp].searchsorted(pd.DatetimeIndex(edges))]
