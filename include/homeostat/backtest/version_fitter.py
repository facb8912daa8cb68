"""Fit one version and predict every later window with it; what is large goes into files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from homeostat.backtest.prediction_cache import LabelledPredictions, PredictionCache, StoredPredictions
from homeostat.backtest.replay_ports import rows_between
from homeostat.bundle.predictor import Predictor
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.core.performance import higher_is_better


@dataclass(frozen=True, slots=True, eq=False)
class BuiltVersion:
    """One version. ``holdout_score`` is its score on its own holdout, as a registry would store it.

    ``losses`` are its losses in the windows from its first on, shape (windows,); NaN in those before, and
    where the score is not defined. ``data_file`` has the rows that it was trained on.
    """

    key: str
    training_rows: int
    holdout_score: float | None
    nan_rate: float
    losses: np.ndarray
    stored: StoredPredictions
    data_file: Path

    def data(self) -> pd.DataFrame:
        """Read the rows that it was trained on, with the holdout."""
        rows: pd.DataFrame = pd.read_pickle(self.data_file)  # noqa: S301  # a file that this process has written
        return rows


@dataclass(frozen=True, slots=True)
class FitFailure:
    """A version that could not be trained, and why."""

    message: str


class VersionFitter:
    """Fits the versions of a backtest; every process has its own.

    Parameters
    ----------
    folder
        Where predictions and training rows are written.
    """

    def __init__(self, config: ModelConfig, cache: PredictionCache, folder: Path) -> None:
        self._config = config
        self._cache = cache
        self._folder = folder

    def fit(self, known_until: datetime, first: int) -> BuiltVersion | FitFailure:
        """Fit on the rows with labels known at ``known_until``; predict the windows from ``first`` on."""
        try:
            return self._fit(known_until, first)
        except HomeostatError as error:
            return FitFailure(str(error))

    def _fit(self, known_until: datetime, first: int) -> BuiltVersion:
        from homeostat.core import training_data
        from homeostat.core.performance import all_metrics
        from homeostat.retraining.recipes import fit_version

        config, history = self._config, self._cache.history
        length = config.training.window.length
        rows = rows_between(history, None if length is None else known_until - length, known_until)
        snapshot = training_data.assemble(rows, config, known_until)
        fitted = fit_version(config, snapshot.train, snapshot.holdout, known_until)
        predictions = Predictor.of(config, fitted.holdout_estimator).predict(snapshot.holdout)
        truth = snapshot.holdout[config.columns.label.name].to_numpy()
        scores = all_metrics(config.task, truth, predictions.prediction)
        key = f"built {known_until.isoformat()}"
        data_file = self._folder / f"{first}-rows.pkl"
        pd.concat([snapshot.train, snapshot.holdout], ignore_index=True).to_pickle(data_file)
        stored, losses = self._predict(Predictor.of(config, fitted.estimator), first)
        return BuiltVersion(
            key=key,
            training_rows=len(snapshot.train),
            holdout_score=scores.get("mae" if config.task == "regression" else "accuracy"),
            nan_rate=float(predictions.missing.mean()),
            losses=losses,
            stored=stored,
            data_file=data_file,
        )

    def _predict(self, predictor: Predictor, first: int) -> tuple[StoredPredictions, np.ndarray]:
        """Predict all later windows in one call, or one by one where that fails."""
        cache, bounds = self._cache, self._cache.bounds()
        losses = np.full(len(bounds) - 1, np.nan)
        failures: dict[int, str] = {}
        predicted: np.ndarray
        try:
            predicted = self._labels(predictor, cache.labelled_from(first))
        except HomeostatError:
            parts = []
            for index in range(first, len(losses)):
                try:
                    parts.append(self._labels(predictor, cache.labelled(index)))
                except HomeostatError as error:
                    failures[index] = str(error)
                    parts.append(cache.as_labels(np.full(bounds[index + 1] - bounds[index], np.nan)))
            predicted = np.concatenate(parts)
        predicted = np.asarray(predicted, dtype=np.float64 if self._config.task == "regression" else object)
        if not failures:
            losses[first:] = self._losses(predicted, first)
        return self._store(predicted, first, failures), losses

    def _labels(self, predictor: Predictor, rows: pd.DataFrame) -> np.ndarray:
        if rows.empty:
            return self._cache.as_labels(np.empty(0))
        return self._cache.as_labels(predictor.predict(rows.reset_index(drop=True)).prediction)

    def _losses(self, predicted: np.ndarray, first: int) -> list[float]:
        cache, bounds = self._cache, self._cache.bounds()
        sign = -1 if higher_is_better(cache.score_name) else 1
        found = []
        for index in range(first, len(bounds) - 1):
            part = slice(bounds[index] - bounds[first], bounds[index + 1] - bounds[first])
            truth = cache.truth(index)
            if cache.score_name == "accuracy":
                score = float((truth == predicted[part]).mean()) if len(truth) else None
            else:
                score = cache.score([LabelledPredictions(truth, predicted[part])])
            found.append(np.nan if score is None else float(sign < 0) + sign * score)
        return found

    def _store(self, predicted: np.ndarray, first: int, failures: dict[int, str]) -> StoredPredictions:
        path = self._folder / f"{first}-predictions.npy"
        if self._config.task == "regression":
            np.save(path, predicted)
            return StoredPredictions(path, first, (), failures)
        codes, texts = pd.factorize(predicted)
        np.save(path, codes.astype(np.min_scalar_type(-max(1, len(texts)))))
        return StoredPredictions(path, first, tuple(str(text) for text in texts), failures)
