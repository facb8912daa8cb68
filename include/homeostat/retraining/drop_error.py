"""How exactly the holdout tells candidate and champion apart, for any metric."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.gate.score_drop import score_drop
from homeostat.core.performance import score
from homeostat.core.performance.batch_means import BLOCKS

if TYPE_CHECKING:
    from homeostat.bundle.evaluate import Evaluation


def drop_error(
    config: ModelConfig, mine: Evaluation, theirs: Evaluation, among: np.ndarray | None = None
) -> float | None:
    """Return the standard error of the difference of two scores on the same rows, in ``gate.metric``.

    By the jackknife over blocks of neighbouring rows (M. H. Quenouille 1956, J. W. Tukey 1958): both are
    scored with each block left out. Errors of neighbours are correlated: single rows would tell too much.

    Parameters
    ----------
    among
        Positions of the rows to score, in time order; None: all.

    Returns
    -------
    None where a block less leaves the metric undefined, or with too few rows.
    """
    among = np.arange(mine.rows) if among is None else among
    blocks = np.array_split(np.arange(len(among)), BLOCKS)
    if len(among) < 2 * BLOCKS:
        return None
    drops = []
    for block in blocks:
        kept = np.delete(among, block)
        try:
            ours, champions = (_score(config, each, kept) for each in (mine, theirs))
        except DataError:
            return None
        drops.append(score_drop(config.metric, ours, champions))
    found = math.sqrt((BLOCKS - 1) / BLOCKS * float(np.square(np.array(drops) - np.mean(drops)).sum()))
    return found if math.isfinite(found) else None


def _score(config: ModelConfig, evaluated: Evaluation, rows: np.ndarray) -> float:
    predictions = evaluated.predictions
    how: dict[str, Any] = {"classes": evaluated.classes, "positive": config.columns.label.positive}
    proba = None if predictions.proba is None else predictions.proba[rows]
    return score(
        config.task, config.metric, evaluated.truth[rows], predictions.prediction[rows], proba, **how
    )
