"""Fit one version and predict every later window with it; what is large goes into files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from homeostat.backtesting.prediction_cache import LabelledPredictions, PredictionCache, StoredPredictions
from homeostat.backtesting.replay_ports import rows_between
from homeostat.backtesting.windows import SplitHistory
from homeostat.bundle.predictor import Predictor
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError
from homeostat.core.performance import higher_is_better

if TYPE_CHECKING:
    from homeostat.core.training_data import Snapshot

#: The holdout of later versions.
HOLDOUT_WINDOWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class BuiltVersion:
    """One version. ``holdout_score`` is its score on its own holdout, as a registry would store it.

    ``losses`` are its losses in the windows from its first on, shape (windows,); NaN in those before, and
    where the score is not defined. ``chosen`` are the names of its members; it learned from labels that were
    known at ``known_until``.
    """

    key: str
    training_rows: int
    holdout_score: float | None
    nan_rate: float
    losses: np.ndarray
    stored: StoredPredictions
    known_until: datetime
    chosen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FitFailure:
    """A version that could not be trained, and why."""

    message: str


def snapshot_of(config: ModelConfig, history: SplitHistory, known_until: datetime) -> Snapshot:
    """Return the rows of the version whose labels are known at ``known_until``.

    Of later versions than the first, the holdout is the last :data:`HOLDOUT_WINDOWS` windows: what is fitted
    without it is then the version of so many windows before, and is fitted once.
    """
    from homeostat.core import training_data

    length = config.training.window.length
    rows = rows_between(history, None if length is None else known_until - length, known_until)
    snapshot = training_data.assemble(rows, config, known_until)
    begin = known_until - HOLDOUT_WINDOWS * history.length
    if begin < history.reference_end:
        return snapshot
    whole = pd.concat([snapshot.train, snapshot.holdout], ignore_index=True)
    unseen = (whole[config.columns.timestamp] >= pd.Timestamp(begin)).to_numpy()
    if unseen.all() or not unseen.any():
        return snapshot
    train, holdout = (whole[part].reset_index(drop=True) for part in (~unseen, unseen))
    return replace(snapshot, train=train, holdout=holdout)


class VersionFitter:
    """Fits the versions of a backtest; every process has its own.

    Parameters
    ----------
    folder
        Where predictions are written.
    """

    def __init__(self, config: ModelConfig, cache: PredictionCache, folder: Path) -> None:
        self._config = config
        self._cache = cache
        self._folder = folder

    def fit(
        self, known_until: datetime, first: int, chosen: tuple[str, ...] | None = None
    ) -> BuiltVersion | FitFailure:
        """Fit on the rows with labels known at ``known_until``; predict the windows from ``first`` on.

        Parameters
        ----------
        chosen
            Names of the members that are fitted; None to choose them, as for a first version.
        """
        try:
            return self._fit(known_until, first, chosen)
        except HomeostatError as error:
            return FitFailure(str(error))

    def _fit(self, known_until: datetime, first: int, chosen: tuple[str, ...] | None) -> BuiltVersion:
        from homeostat.core.performance import all_metrics
        from homeostat.retraining.recipes import fit_version

        config = self._config
        snapshot = snapshot_of(config, self._cache.history, known_until)
        fitted = fit_version(config, snapshot.train, snapshot.holdout, known_until, chosen=chosen)
        predictions = Predictor.of(config, fitted.holdout_estimator).predict(snapshot.holdout)
        truth = snapshot.holdout[config.columns.label.name].to_numpy()
        scores = all_metrics(config.task, truth, predictions.prediction)
        key = f"built {known_until.isoformat()}"
        stored, losses = self._predict(Predictor.of(config, fitted.estimator), first)
        return BuiltVersion(
            key=key,
            training_rows=len(snapshot.train),
            holdout_score=scores.get("mae" if config.task == "regression" else "accuracy"),
            nan_rate=float(predictions.missing.mean()),
            losses=losses,
            stored=stored,
            known_until=known_until,
            chosen=fitted.chosen,
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
