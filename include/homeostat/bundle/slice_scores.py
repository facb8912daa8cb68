"""Slices of a holdout: their reference, and a version's scores in each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from homeostat.bundle.predictor import Predictions
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.performance import score
from homeostat.core.profile import MIN_SLICE_ROWS, FeatureKind, Reference, SliceReference, Slices
from homeostat.core.profile.coerce import Ints


def slice_reference(
    config: ModelConfig, reference: Reference, frame: pd.DataFrame, rows: pd.DataFrame
) -> SliceReference | None:
    """Choose the slices of ``monitor.slices`` in the reference's rows and count them; None without any.

    With a season of the reference each slice is counted by hour too, by the timestamps of ``rows``.
    """
    if not config.monitor.slices:
        return None
    slices = Slices.fit(config.monitor.slices, frame, _kinds(config), most=config.monitor.max_slices)
    times = rows[config.columns.timestamp]
    return SliceReference.of(slices, reference.edges, frame, reference.season, times)


def slices_of(config: ModelConfig, holdout: pd.DataFrame) -> dict[str, Ints]:
    """Return the row positions of each slice of the gate in the holdout, without the rests."""
    slices = Slices.fit(config.gate_slices, holdout, _kinds(config))
    rests = {slicing.names[-1] for slicing in slices.slicings}
    return {name: at for name, at in slices.positions(holdout).items() if name not in rests}


def score_slices(
    config: ModelConfig,
    slices: Mapping[str, Ints],
    truth: np.ndarray,
    predictions: Predictions,
    how: dict[str, Any],
) -> dict[str, dict[str, float]]:
    """Return rows and score of each slice, in the gate's metric; without those of too few rows or no score.

    Parameters
    ----------
    slices
        Row positions by slice.
    how
        What :func:`homeostat.core.performance.score` needs besides the rows.
    """
    found: dict[str, dict[str, float]] = {}
    for name, at in slices.items():
        if len(at) < MIN_SLICE_ROWS:
            continue
        proba = None if predictions.proba is None else predictions.proba[at]
        try:
            points = score(config.task, config.metric, truth[at], predictions.prediction[at], proba, **how)
        except DataError:  # one class in the slice, for instance: the gate reports a missing score
            continue
        found[name] = {"rows": len(at), "score": points}
    return found


def _kinds(config: ModelConfig) -> dict[str, FeatureKind]:
    return {name: feature.type for name, feature in config.columns.features.items()}
