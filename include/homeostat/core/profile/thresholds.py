"""The cut points of a number as thresholds on another scale, for engines that can only compare."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import ge, gt

import numpy as np

from homeostat.core.profile.edges import NumberEdges

#: The value of a step on a scale, which rises with it.
Scale = Callable[[int], float]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Values t1 < t2 < ...: of a value on or above exactly r of them, ``slots[r]`` is the slot."""

    values: tuple[float, ...]
    slots: tuple[int, ...]

    @classmethod
    def of(cls, bounds: list[float]) -> Thresholds:
        """Return the thresholds of 2N bounds: for each cut point the first value on it, and above it."""
        values = sorted(set(bounds))
        return cls(tuple(values), (0, *(bisect_right(bounds, value) for value in values)))


def float_thresholds(edges: NumberEdges) -> Thresholds:
    """Return the thresholds of a column of floats; minus zero lies on zero."""
    bounds: list[float] = []
    for cut in edges.cut_points:
        at = float(cut)
        at = at if at >= cut else math.nextafter(at, math.inf)
        bounds += [at + 0.0, at if at > cut else math.nextafter(at, math.inf)]
    return Thresholds.of(bounds)


def step_thresholds(edges: NumberEdges, number_of: Scale, low: int, high: int) -> Thresholds:
    """Return the thresholds, in steps, of a column whose values count steps in ``[low, high]``.

    Parameters
    ----------
    number_of
        The number that the local path reads for a step: seconds for microseconds, a float for an integer. It
        must never fall.
    """
    bounds: list[float] = []
    for cut in edges.cut_points:
        bounds += [
            _first(number_of, ge, cut, low, high),
            _first(number_of, gt, cut, low, high),
        ]
    return Thresholds.of(bounds)


def _first(number_of: Scale, reaches: Callable[[float, float], bool], cut: float, low: int, high: int) -> int:
    """Return the first step whose number reaches the cut point, ``high + 1`` for none."""
    high += 1
    while low < high:
        middle = (low + high) // 2
        if reaches(number_of(middle), cut):
            high = middle
        else:
            low = middle + 1
    return low


def float32_steps(edges: NumberEdges) -> Thresholds:
    """Return the thresholds of a column of 32-bit floats, as floats of 64 bits that 32 hold.

    A number is the shortest decimal of its bits, see :mod:`homeostat.core.values.short_floats`.
    """
    from homeostat.core.values.short_floats import widen

    def number_of(step: int) -> float:
        return float(widen(np.array([_float32(step)]))[0])

    largest = int(np.float32(np.finfo(np.float32).max).view(np.int32))
    steps = step_thresholds(edges, number_of, -largest, largest)
    return Thresholds(tuple(_step_value(int(step), largest) for step in steps.values), steps.slots)


def _float32(step: int) -> np.float32:
    """Return the float at this place among all finite ones; both zeros are 0."""
    size = np.int32(abs(step)).view(np.float32)
    return np.float32(-size if step < 0 else size)


def _step_value(step: int, largest: int) -> float:
    return np.inf if step > largest else float(_float32(step))
