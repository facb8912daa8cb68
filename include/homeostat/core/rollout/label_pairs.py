"""Losses of two versions on the same labelled row, as counts that add up in any order.

A rollout's labelled pairs are a K x K histogram: row ``i``, column ``j`` counts pairs in which the
candidate's loss is on level ``i`` and the other version's on level ``j``. For accuracy K is 2, and the four
counts are all that there is to know. Other losses lie between two levels: they are rounded up or down at
random, so that the expected value stays the same, with a number that the prediction's id determines. A pair
always counts the same, wherever and whenever it is counted.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from homeostat.config.label_text import label_text
from homeostat.core.rollout.evidence import Tally
from homeostat.core.rollout.phases import Plan

#: Levels of a loss that is not just 0 or 1; they lie closer together at small losses.
LEVELS = 25
#: An error counts as at most so many standard deviations of the label: one wild row decides nothing.
CAP = 2.0
#: Two numbers differ when they are further apart than this part of the label's standard deviation.
DIVERGED_SPREAD = 0.1

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PairLosses:
    """How this rollout measures losses, and how much worse the candidate may be.

    The losses are scaled to [0, 1]. The candidate is worse than ``gate.max_regression`` allows when its mean
    loss exceeds ``slope`` times the other version's by more than ``margin``.

    Parameters
    ----------
    levels
        The values of the levels, rising from 0 to 1.
    unit
        What a scaled loss of 1 is in the metric's own terms.
    weights
        The weight of a wrong prediction by class, at most 1; empty: 1 for all.
    """

    metric: str
    levels: tuple[float, ...]
    slope: float
    margin: float
    unit: float
    weights: tuple[tuple[str, float], ...] = ()
    spread: float = 1.0

    @classmethod
    def of(cls, plan: Plan) -> PairLosses | None:
        """Return the measure of a plan's metric; None when the metric is no mean over rows, or unknown.

        F1, ROC AUC and log loss are not: the prediction log has neither counts per class nor all
        probabilities.
        """
        most, spread, shares = plan.max_regression, plan.labels.spread, plan.labels.class_shares
        fine = tuple((i / (LEVELS - 1)) ** 2 for i in range(LEVELS))
        match plan.metric:
            case "accuracy":
                return cls("accuracy", (0.0, 1.0), 1.0, most, 1.0)
            case "balanced_accuracy" if shares and all(share > 0 for _, share in shares):
                weights = {str(label_text(name)): 1.0 / (len(shares) * share) for name, share in shares}
                unit = max(weights.values())
                scaled = tuple((name, weight / unit) for name, weight in weights.items())
                return cls("balanced_accuracy", fine, 1.0, most / unit, unit, scaled)
            case "mae" if spread:
                return cls("mae", fine, 1.0 + most, 0.0, CAP * spread, spread=spread)
            case "rmse" if spread:
                squared = tuple(level**2 for level in fine)
                return cls("rmse", squared, (1.0 + most) ** 2, 0.0, (CAP * spread) ** 2, spread=spread)
            case "r2" if spread:
                squared = tuple(level**2 for level in fine)
                return cls("r2", squared, 1.0, most / CAP**2, (CAP * spread) ** 2, spread=spread)
        return None

    def loss(self, label: object, prediction: object) -> float:
        """Return the scaled loss of one prediction; a missing one has the largest loss, 1."""
        if self.metric in ("accuracy", "balanced_accuracy"):
            true = label_text(label)
            wrong = prediction is None or label_text(prediction) != true
            return dict(self.weights).get(str(true), 1.0) if wrong else 0.0
        try:
            error = abs(float(prediction) - float(label))  # type: ignore[arg-type]  # what is no number raises
        except (TypeError, ValueError):
            return 1.0
        scaled = min(1.0, error / (CAP * self.spread)) if isfinite(error) else 1.0
        return scaled if self.metric == "mae" else scaled**2

    def count(self, pairs: Iterable[tuple[str, object, object, object]]) -> Tally:
        """Count pairs of (prediction id, label, the candidate's prediction, the other version's)."""
        size = len(self.levels)
        counts = [0] * size**2
        rows = 0
        for name, label, candidate, other in pairs:
            # Both are rounded with the same number: where their losses are close, so are their levels.
            number = _uniform(name)
            mine, theirs = (
                self._level(self.loss(label, prediction), number) for prediction in (candidate, other)
            )
            counts[mine * size + theirs] += 1
            rows += 1
        return Tally(rows=rows, losses=tuple(counts)) if rows else Tally()

    def _level(self, loss: float, number: float) -> int:
        below = bisect_right(self.levels, loss) - 1
        if below == len(self.levels) - 1:
            return below
        low, high = self.levels[below], self.levels[below + 1]
        return below + (number < (loss - low) / (high - low))

    def histogram(self, tally: Tally) -> Matrix:
        """Return the counts, shape (K, K); all 0 for counts of another measure."""
        size = len(self.levels)
        if len(tally.losses) != size**2:
            return np.zeros((size, size))
        return np.asarray(tally.losses, dtype=np.float64).reshape(size, size)

    def score(self, mean_loss: float) -> float:
        """Return the metric's value for a mean scaled loss."""
        if self.metric in ("accuracy", "balanced_accuracy"):
            return 1.0 - mean_loss * self.unit
        if self.metric == "r2":
            return 1.0 - mean_loss * CAP**2
        return mean_loss * self.unit if self.metric == "mae" else sqrt(mean_loss * self.unit)


def differ(mine: object, theirs: object, spread: float | None) -> bool:
    """Whether two predictions of an input differ: as text, or as numbers in units of the label's spread.

    Parameters
    ----------
    spread
        The standard deviation of the label; None for classes.
    """
    if spread is None:
        return label_text(mine) != label_text(theirs)
    try:
        apart = abs(float(mine) - float(theirs))  # type: ignore[arg-type]  # what is no number raises
    except (TypeError, ValueError):
        return True
    return not apart <= DIVERGED_SPREAD * spread  # also when one is NaN


def _uniform(name: str) -> float:
    """Return a number in [0, 1) that the id determines, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=7).digest(), "big") / 2**56
