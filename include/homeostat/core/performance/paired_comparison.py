"""Two versions on the same rows: which has the smaller loss, and how significant the difference is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from homeostat.core.performance.batch_means import row_variance

# Where predictions differ on every row, or on none, z would be infinite: it is limited to this.
_MAX_Z = 99.0


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Paired losses of versions a and b, as sums that add up: 0 or 1 per row, or absolute errors.

    Rows come in time order; ``variance`` covers errors that are correlated in time, see
    :func:`~homeostat.core.performance.batch_means.row_variance`.

    Both versions predicted the same rows, so an easy or a hard week favours neither. What is left of the
    noise are the rows on which the two differ.
    """

    rows: int = 0
    gap: float = 0.0  # sum of (loss of a - loss of b)
    variance: float = 0.0  # of that sum
    loss: float = 0.0  # sum of the losses of a

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray) -> Self:
        """Compare losses of the same rows, shape (n,) each; rows where either is not finite are left out."""
        both = np.isfinite(a) & np.isfinite(b)
        gap = (a - b)[both]
        return cls(len(gap), float(gap.sum()), len(gap) * row_variance(gap), float(a[both].sum()))

    def __add__(self, other: PairedComparison) -> PairedComparison:
        return PairedComparison(
            self.rows + other.rows,
            self.gap + other.gap,
            self.variance + other.variance,
            self.loss + other.loss,
        )

    def swapped(self) -> PairedComparison:
        """Return the comparison of b with a."""
        return PairedComparison(self.rows, -self.gap, self.variance, self.loss - self.gap)

    @property
    def z(self) -> float:
        """The gap in standard errors (paired z); positive when b is better, 0 without rows or difference."""
        return _z(self.gap, self.variance)

    def improvement(self, *, relative: bool) -> float:
        """Return how much smaller b's loss is per row; ``relative`` to the loss of a, for unscaled errors."""
        if not self.rows:
            return 0.0
        return self.gap / max(self.loss, 1e-12) if relative else self.gap / self.rows


def _z(total: float, variance: float) -> float:
    if total == 0:
        return 0.0
    if variance <= 0:
        return math.copysign(_MAX_Z, total)
    return min(max(total / math.sqrt(variance), -_MAX_Z), _MAX_Z)
