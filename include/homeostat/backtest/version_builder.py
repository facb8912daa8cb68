"""Versions for the policies without a registry, assembled and fitted by the retrain's own functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from homeostat.backtest.prediction_cache import PredictionCache
from homeostat.backtest.replay_ports import rows_between
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError

if TYPE_CHECKING:
    from homeostat.bundle.predictor import Predictor


@dataclass(frozen=True, slots=True)
class BuiltVersion:
    """One version. ``holdout_score`` is its score on its own holdout, as a registry would store it."""

    key: str
    predictor: Predictor
    data: pd.DataFrame
    training_rows: int
    holdout_score: float | None
    nan_rate: float


class VersionBuilder:
    """Builds the version trained on everything known at a time, once per time.

    Policies that retrain at the end of the same window share one fit.
    """

    def __init__(self, config: ModelConfig, cache: PredictionCache) -> None:
        self._config = config
        self._cache = cache
        self._built: dict[datetime, BuiltVersion | HomeostatError] = {}

    def build(self, known_until: datetime) -> BuiltVersion:
        """Fit on the rows whose labels are known at ``known_until``.

        Raises
        ------
        HomeostatError
            What the retrain's steps raise; the same error again for the same time.
        """
        if known_until not in self._built:
            try:
                self._built[known_until] = self._build(known_until)
            except HomeostatError as error:
                self._built[known_until] = error
        built = self._built[known_until]
        if isinstance(built, HomeostatError):
            raise built
        return built

    def _build(self, known_until: datetime) -> BuiltVersion:
        from homeostat.bundle.predictor import Predictor
        from homeostat.core import training_data
        from homeostat.core.performance import all_metrics
        from homeostat.retraining.recipes import fit_version

        config, history = self._config, self._cache.history
        length = config.training.window.length
        rows = rows_between(history, None if length is None else known_until - length, known_until)
        snapshot = training_data.assemble(rows, config, known_until)
        fitted = fit_version(config, snapshot.train, snapshot.holdout, known_until)
        predictor = Predictor.of(config, fitted.estimator)
        predictions = Predictor.of(config, fitted.holdout_estimator).predict(snapshot.holdout)
        truth = snapshot.holdout[config.columns.label.name].to_numpy()
        scores = all_metrics(config.task, truth, predictions.prediction)
        key = f"built {known_until.isoformat()}"
        self._cache.add_version(key, predictor)
        return BuiltVersion(
            key=key,
            predictor=predictor,
            data=pd.concat([snapshot.train, snapshot.holdout], ignore_index=True),
            training_rows=len(snapshot.train),
            holdout_score=scores.get("mae" if config.task == "regression" else "accuracy"),
            nan_rate=float(predictions.missing.mean()),
        )
