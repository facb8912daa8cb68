"""Scores of every policy in each slice of ``monitor.slices``, over all windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from homeostat.backtesting.policy_run import PolicyRun
from homeostat.backtesting.prediction_cache import LabelledPredictions, PredictionCache
from homeostat.backtesting.replay_ports import rows_between
from homeostat.config import ModelConfig
from homeostat.core.profile import MIN_SLICE_ROWS, Slices


@dataclass(frozen=True, slots=True)
class SliceScores:
    """The labelled rows of a slice in all windows, and each policy's score on them; None: undefined."""

    name: str
    rows: int
    scores: Mapping[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


def score_by_slice(
    config: ModelConfig, runs: Mapping[str, PolicyRun], cache: PredictionCache
) -> list[SliceScores]:
    """Score every policy in each slice; without slices of fewer than 30 labelled rows.

    The slices are chosen in the rows of the reference, as those of a version are in its holdout.
    """
    if not config.monitor.slices:
        return []
    history = cache.history
    kinds = {name: feature.type for name, feature in config.columns.features.items()}
    reference = rows_between(history, None, history.reference_end)
    slices = Slices.fit(config.monitor.slices, reference, kinds, most=config.monitor.max_slices)
    positions = {
        name: at for name, at in slices.positions(cache.labelled_from(0)).items() if len(at) >= MIN_SLICE_ROWS
    }
    scores: dict[str, dict[str, float | None]] = {name: {} for name in positions}
    for policy, run in runs.items():
        parts = [cache.predictions(key, index) for index, key in enumerate(run.keys)]
        truth, predicted = (
            np.concatenate(columns)
            for columns in ([part.truth for part in parts], [part.predicted for part in parts])
        )
        for name, at in positions.items():
            scores[name][policy] = cache.score([LabelledPredictions(truth[at], predicted[at])])
    return [SliceScores(name, len(at), scores[name]) for name, at in positions.items()]
