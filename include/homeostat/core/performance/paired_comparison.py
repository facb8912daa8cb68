"""Two versions on the same rows: which of them errs less, and by how much more than chance gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from homeostat.core.performance.batch_means import row_variance

#: What an earlier retrain brought counts so much less with every one since.
FORGET = 0.8
# So many standard errors are as good as any: answers may differ on every row, or on none.
_SURE = 99.0


@dataclass(frozen=True, slots=True)
class Duel:
    """Paired losses of versions a and b, as sums that add up: 0 or 1 a row, or absolute errors.

    Rows come in time order; how far errors come in spells is in ``variance``, see
    :func:`~homeostat.core.performance.batch_means.row_variance`.

    Both answered the very same rows, so that an easy or a hard week tells nothing about either: what is
    left of the noise are the rows on which they differ.
    """

    rows: int = 0
    gap: float = 0.0  # sum of (loss of a - loss of b)
    variance: float = 0.0  # of that sum
    loss: float = 0.0  # sum of the losses of a

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray) -> Self:
        """From losses of the same rows, shape (n,) each; rows where either is not finite are left out."""
        both = np.isfinite(a) & np.isfinite(b)
        gap = (a - b)[both]
        return cls(len(gap), float(gap.sum()), len(gap) * row_variance(gap), float(a[both].sum()))

    def __add__(self, other: Duel) -> Duel:
        return Duel(
            self.rows + other.rows,
            self.gap + other.gap,
            self.variance + other.variance,
            self.loss + other.loss,
        )

    @property
    def errors(self) -> float:
        """The gap in standard errors (paired z); positive when b is better, 0 without rows or difference."""
        return _errors(self.gap, self.variance)

    def lead(self, *, relative: bool) -> float:
        """By how much b is better a row; ``relative`` to the loss of a, for errors that have no scale."""
        if not self.rows:
            return 0.0
        return self.gap / max(self.loss, 1e-12) if relative else self.gap / self.rows


def gain(duels: Sequence[Duel], *, least: float = 0.0, relative: bool = False) -> float | None:
    """By how many standard errors retraining has lately brought more than ``least`` a row.

    None when nothing can be told yet. ``relative``: ``least`` is a share of the losses, for errors that have
    no scale.

    One duel for each retrain, oldest first, of the version before (a) against the one that it made (b), on
    labelled rows since. Sums are carried over, each retrain's weighing 0.8 times the next one's: one lucky
    week does not make retraining pay, nor does one unlucky week end it.
    """
    total = variance = 0.0
    for duel in duels:
        beyond = duel.gap - least * (duel.loss if relative else duel.rows)
        total, variance = total * FORGET + beyond, variance * FORGET**2 + duel.variance
    return _errors(total, variance) if any(duel.rows for duel in duels) else None


def _errors(total: float, variance: float) -> float:
    if total == 0:
        return 0.0
    if variance <= 0:
        return math.copysign(_SURE, total)
    return min(max(total / math.sqrt(variance), -_SURE), _SURE)
