"""Losses of a slice as sums, which add up over steps of monitoring as profiles do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True, slots=True)
class LossSums:
    """Rows, the sum of their losses (:func:`homeostat.core.performance.row_losses`), and of the squares."""

    rows: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, losses: np.ndarray) -> Self:
        """Sum the losses of rows, shape (n,); those that are not finite are left out."""
        known = losses[np.isfinite(losses)]
        return cls(len(known), float(known.sum()), float(np.square(known).sum()))

    def __add__(self, other: LossSums) -> LossSums:
        return LossSums(self.rows + other.rows, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float | None:
        """The mean loss; None without rows."""
        return self.total / self.rows if self.rows else None

    @property
    def variance(self) -> float:
        """The variance of a row's loss, never below 0."""
        return max(self.squares / self.rows - (self.total / self.rows) ** 2, 0.0) if self.rows else 0.0

    def to_json(self) -> list[float]:
        """Return rows, sum and sum of squares."""
        return [self.rows, round(self.total, 6), round(self.squares, 6)]

    @classmethod
    def from_json(cls, raw: Sequence[float]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(int(raw[0]), float(raw[1]), float(raw[2]))


def add_steps(
    newest_first: Iterable[Mapping[str, LossSums]], name: str, *, least: int, enough: int
) -> LossSums:
    """Add up a slice's losses of the newest steps.

    Parameters
    ----------
    newest_first
        The losses of each step by slice.
    least
        So many steps count in any case ...
    enough
        ... and earlier ones until the slice has so many rows.
    """
    found = LossSums()
    for number, step in enumerate(newest_first):
        if number >= least and found.rows >= enough:
            break
        found += step.get(name, LossSums())
    return found
