"""Versions for the policies that have no registry: assembled and fitted as a retrain would, each once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import pandas as pd

from homeostat.backtest.prediction_cache import Bench
from homeostat.backtest.replay_ports import between
from homeostat.config import ModelConfig
from homeostat.config.errors import HomeostatError

if TYPE_CHECKING:
    from homeostat.bundle.predictor import Predictor


@dataclass(frozen=True, slots=True)
class Made:
    """One version. ``stored`` is its score on its own holdout when it was made, as a registry keeps it."""

    key: str
    predictor: Predictor
    data: pd.DataFrame
    rows: int
    stored: float | None
    nan_rate: float


class Workshop:
    """Makes the version that knows everything up to a time; the same time gives the same version.

    Policies that retrain at the same window's end so share one fit.
    """

    def __init__(self, config: ModelConfig, bench: Bench) -> None:
        self._config = config
        self._bench = bench
        self._made: dict[datetime, Made | HomeostatError] = {}

    def make(self, known: datetime) -> Made:
        """Fit on the rows whose labels are known; raises as a retrain's steps do, the same each time."""
        if known not in self._made:
            try:
                self._made[known] = self._make(known)
            except HomeostatError as error:
                self._made[known] = error
        made = self._made[known]
        if isinstance(made, HomeostatError):
            raise made
        return made

    def _make(self, known: datetime) -> Made:
        from homeostat.bundle.predictor import Predictor
        from homeostat.core import training_data as assemble
        from homeostat.core.performance import all_metrics
        from homeostat.retraining.recipes import fit_version

        config, stream = self._config, self._bench.stream
        length = config.training.window.length
        rows = between(stream, None if length is None else known - length, known)
        snapshot = assemble.assemble(rows, config, known)
        fitted = fit_version(config, snapshot.train, snapshot.holdout, known)
        predictor = Predictor.of(config, fitted.estimator)
        judge = Predictor.of(config, fitted.judge)
        answers = judge.predict(snapshot.holdout)
        truth = snapshot.holdout[config.columns.label.name].to_numpy()
        scores = all_metrics(config.task, truth, answers.prediction)
        key = f"made {known.isoformat()}"
        self._bench.put(key, predictor)
        return Made(
            key=key,
            predictor=predictor,
            data=pd.concat([snapshot.train, snapshot.holdout], ignore_index=True),
            rows=len(snapshot.train),
            stored=scores.get("mae" if config.task == "regression" else "accuracy"),
            nan_rate=float(answers.missing.mean()),
        )
