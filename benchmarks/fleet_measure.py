"""The arithmetic of the simulation: percentiles, the steady part of a run, growth, and what a size needs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

HOUR, CHECKS_PER_DAY = 3600, 24
#: Checks bunch together: the fullest minutes of an hour need this many times the mean of all.
RESERVE = 1.5


@dataclass(frozen=True, slots=True)
class Sample:
    """What was done until a time: seconds since the scheduler's start, checks, CPU seconds by part."""

    seconds: float
    checks: int
    cpu: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Steady:
    """The steady part of a run: its seconds, its checks, and the CPU seconds of a check by part."""

    seconds: float
    checks: int
    cpu: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Checks per second."""
        return self.checks / self.seconds

    @property
    def busy(self) -> float:
        """Cores that were busy, of all parts."""
        return sum(self.cpu.values()) * self.rate


@dataclass(frozen=True, slots=True)
class Needs:
    """What so many models need, checked once an hour: task slots, cores of tasks, and of what all share."""

    slots: int
    task_cores: float
    shared_cores: float


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values do not exceed (nearest rank).

    Parameters
    ----------
    share
        In (0, 1].

    Raises
    ------
    ValueError
        There are no values, or the share is not in (0, 1].
    """
    if not values or not 0 < share <= 1:
        msg = f"percentile {share} of {len(values)} values: give at least one value and a share in (0, 1]"
        raise ValueError(msg)
    return sorted(values)[math.ceil(share * len(values)) - 1]


def steady(samples: Sequence[Sample], total: int) -> Steady | None:
    """Return the part from a tenth to nine tenths of ``total`` checks; None without two samples in it.

    Start-up and the last checks, when slots are empty, are not in it. A part that is missing from the first
    sample counts from zero.
    """
    inside = [each for each in samples if 0.1 * total <= each.checks <= 0.9 * total]
    if len(inside) < 2 or inside[0].checks == inside[-1].checks:
        return None
    first, last = inside[0], inside[-1]
    checks = last.checks - first.checks
    cpu = {part: (used - first.cpu.get(part, 0.0)) / checks for part, used in last.cpu.items()}
    return Steady(last.seconds - first.seconds, checks, cpu)


def longest_gap(beats: Sequence[datetime], end: datetime) -> float:
    """Return the longest time in seconds between two heartbeats, or from the last one to ``end``."""
    times = [*sorted(beats), end]
    return max((after - before).total_seconds() for before, after in pairwise(times))


def per_check(before: Mapping[str, int], after: Mapping[str, int], checks: int) -> dict[str, float]:
    """Return the bytes that each place has grown by a check; ValueError without checks."""
    if checks < 1:
        msg = "growth per check needs at least one check"
        raise ValueError(msg)
    return {place: (after[place] - before[place]) / checks for place in after}


def per_day(growth: float, models: int) -> float:
    """Return what so many models grow in a day, checked hourly; the unit is that of ``growth``."""
    return growth * models * CHECKS_PER_DAY


def needs(models: int, slot_seconds: float, cpu: Mapping[str, float], constant: float = 0.0) -> Needs:
    """Return what hourly checks of so many models need.

    slots = models * slot_seconds / 3600 * 1.5, rounded up; cores = models * CPU seconds / 3600 * 1.5.

    Parameters
    ----------
    slot_seconds
        How long the tasks of a check occupy a slot, all of them together, where slots are not crowded.
    cpu
        CPU seconds of a check by part; ``tasks`` is that of the workers, the rest is shared.
    constant
        Cores that are busy whether or not checks run.
    """
    per_second = models / HOUR * RESERVE
    shared = sum(used for part, used in cpu.items() if part != "tasks")
    return Needs(
        max(1, math.ceil(per_second * slot_seconds)),
        per_second * cpu["tasks"],
        per_second * shared + constant,
    )


def fits(cores: float, cpu: Mapping[str, float]) -> int:
    """Return how many models a machine of so many cores checks hourly with all parts on it, with reserve."""
    return int(cores * HOUR / RESERVE / sum(cpu.values()))


def hourly_limit(rate: float) -> int:
    """Return how many models a machine checks hourly that does so many checks per second, without reserve."""
    return int(rate * HOUR)
