"""Tell in one pass and bounded memory whether whole numbers repeat, and how dense they are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from homeostat.core.values.numbers import Ints
from homeostat.core.values.whole_numbers import LARGEST, Numbers, is_exact

#: Distinct values to keep; of more, those with the smallest hashes are kept.
MAX_KEPT = 4096
_INT64 = 2**63


@dataclass(slots=True)
class DistinctNumbers:
    """Whole numbers so far: whether one occurs twice, and the largest step that divides all distances.

    Up to :data:`MAX_KEPT` numbers the answer is exact. Of more, only numbers whose hash is small are kept,
    with every occurrence of them (P. Gibbons, "Distinct sampling", 2001), so what is found does not depend
    on the order of the rows. A column in which many numbers repeat never goes unnoticed.
    """

    repeated: bool = False
    step: int = 0  # greatest common divisor of the distances; 0 for one value
    count: int = 0
    _first: int | None = None
    _level: int = 0
    _kept: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def add(self, numbers: Numbers) -> None:
        """Take in more numbers, all whole."""
        if self.repeated or not numbers.size:
            return
        self._first = int(numbers[0]) if self._first is None and math.isfinite(numbers[0]) else self._first
        values = self._distances(numbers)
        if values is None:
            self.repeated = True  # unknown: treat them as a measure
            return
        self.step = int(np.gcd(self.step, np.gcd.reduce(values)))
        self.count += values.size
        hashes = _hash(values)
        values = values[hashes < np.uint64(2 ** (64 - self._level) - 1)]
        kept = np.sort(np.concatenate([self._kept, values]))
        if (kept[1:] == kept[:-1]).any():
            self.repeated, self._kept = True, np.empty(0, dtype=np.int64)
            return
        while kept.size > MAX_KEPT:
            self._level += 1
            kept = kept[_hash(kept) < np.uint64(2 ** (64 - self._level) - 1)]
        self._kept = kept

    def _distances(self, numbers: Numbers) -> Ints | None:
        """Return the distances from the first number ever; None where they are not known exactly."""
        if self._first is None or not (is_exact(numbers) or np.abs(numbers).max() < LARGEST):
            return None
        numbers = numbers if is_exact(numbers) else numbers.astype(np.int64)
        ends = (int(numbers.min()) - self._first, int(numbers.max()) - self._first)
        if max(map(abs, ends)) >= _INT64:
            return None
        return np.asarray(numbers - self._first).astype(np.int64)

    def is_dense(self, low: float, high: float) -> bool:
        """Return whether no number repeats although random ones would: their range is small for their rows.

        Of n random draws from m values the chance that none repeats is about exp(-n**2 / 2m): at most e**-10
        here.
        """
        if self.repeated or not self.step:
            return False
        places = (high - low) / self.step + 1
        return self.count**2 >= 20 * places

    def is_complete(self, low: float, high: float) -> bool:
        """Return whether every number from ``low`` to ``high``, in steps of ``step``, occurs exactly once."""
        return not self.repeated and self.step > 0 and self.count == (high - low) // self.step + 1


def _hash(values: Ints) -> npt.NDArray[np.uint64]:
    """Return 64-bit hashes: the finalizer of splitmix64."""
    mixed = values.view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))
