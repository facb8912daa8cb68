"""Counts of a window's steps in the Store, and their rolling sum from one check to the next.

The key of a step's counts is a hash of its input, so a log file that arrives late gives another key. The sum
lists the steps that it contains. The next check subtracts the steps that have left the window and adds the
new ones. Counts are integers, so this is exact, and it reads three objects however long the window is.

Objects that are missing, damaged or of other input are counted again. Two checks at the same time each write
complete objects; the sum of the later one is kept.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from homeostat.config.errors import DataError, NotFound
from homeostat.core.profile import codec
from homeostat.core.profile.coerce import Ints
from homeostat.ports import Store

logger = logging.getLogger(__name__)
Found = TypeVar("Found", "StepCounts", "RollingSum")

#: Windows of up to this many steps are summed from their steps: a stored sum would not save a read.
SHORT_WINDOW = 3
#: Keys of a stored object: the digest of the edges it is counted on, and a step's notes.
_EDGES, _NOTES = "edges", "notes"
#: What release 0.1 called them.
_OLD_NAMES = {"frames": _EDGES, "noted": _NOTES}


@dataclass(frozen=True, slots=True)
class StepNotes:
    """What was found in a step besides counts: schema findings, and log files that cannot be read.

    ``rows`` were served, in requests whose ``latency`` is counted in the bins of
    :data:`~homeostat.core.rollout.evidence.LATENCY_EDGES_MS`, without trailing zeros; None where an earlier
    release counted the step.
    """

    findings: tuple[Mapping[str, Any], ...] = ()
    unreadable: tuple[str, ...] = ()
    rows: int | None = None
    latency: tuple[int, ...] = ()

    def to_json(self) -> list[Any]:
        """Plain JSON."""
        return [list(self.findings), list(self.unreadable), self.rows, list(self.latency)]

    @classmethod
    def from_json(cls, raw: Iterable[Any]) -> StepNotes:
        """Read what :meth:`to_json` wrote, now or in a release that counted no latency."""
        findings, unreadable, *traffic = raw
        rows, latency = traffic or (None, ())
        return cls(tuple(findings), tuple(unreadable), rows, tuple(latency))


@dataclass(frozen=True, slots=True)
class StepCounts:
    """Counts of one step's rows, shape (n,), and its notes."""

    counts: Ints
    notes: StepNotes

    @property
    def checksum(self) -> str:
        """Identify these counts, so that a sum subtracts exactly what it added."""
        return hashlib.sha256(self.counts.astype("<i8").tobytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class RollingSum:
    """Summed counts of several steps, with the checksum and the notes of each step by its key."""

    counts: Ints
    steps: Mapping[str, tuple[str, StepNotes]] = field(default_factory=dict)

    def plus(self, key: str, step: StepCounts) -> RollingSum:
        """Add one step."""
        return RollingSum(self.counts + step.counts, {**self.steps, key: (step.checksum, step.notes)})

    def minus(self, key: str, step: StepCounts) -> RollingSum:
        """Subtract a step that is in the sum."""
        return RollingSum(self.counts - step.counts, {k: v for k, v in self.steps.items() if k != key})


@dataclass(frozen=True, slots=True)
class CountStore:
    """Read and write steps and sums of ``size`` counts, counted on the edges with this digest."""

    store: Store
    digest: str
    size: int

    def step(self, key: str) -> StepCounts | None:
        """Return a stored step, or None."""

        def read(head: dict[str, Any], counts: Ints) -> StepCounts:
            return StepCounts(counts, StepNotes.from_json(head[_NOTES]))

        return self._get(key, "step", read)

    def sum(self, key: str) -> RollingSum | None:
        """Return a stored sum, or None."""

        def read(head: dict[str, Any], counts: Ints) -> RollingSum:
            steps = {
                name: (str(checksum), StepNotes.from_json(raw))
                for name, (checksum, *raw) in head["steps"].items()
            }
            return RollingSum(counts, steps)

        return self._get(key, "sum", read)

    def put_step(self, key: str, step: StepCounts) -> None:
        """Store a step."""
        self._put(key, "step", {_NOTES: step.notes.to_json()}, step.counts)

    def put_sum(self, key: str, total: RollingSum) -> None:
        """Store a sum, replacing the previous one."""
        steps = {name: [checksum, *notes.to_json()] for name, (checksum, notes) in total.steps.items()}
        self._put(key, "sum", {"steps": steps}, total.counts)

    def _put(self, key: str, kind: str, head: Mapping[str, Any], counts: Ints) -> None:
        data = codec.pack_counts(kind, {_EDGES: self.digest, **head}, counts)
        self.store.put(key, data, overwrite=True)

    def _get(self, key: str, kind: str, read: Callable[[dict[str, Any], Ints], Found]) -> Found | None:
        try:
            head, counts = codec.unpack_counts(kind, self.store.get(key))
            head = {_OLD_NAMES.get(name, name): value for name, value in head.items()}
            if head[_EDGES] != self.digest or counts.shape != (self.size,) or (counts < 0).any():
                logger.warning("%s is not a %s of these counts: counting again", key, kind)
                return None
            return read(head, counts)
        except NotFound:
            return None
        except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
            logger.warning("%s cannot be read (%s): counting again", key, error)
            return None


def rolling_sum(
    counts: CountStore, sum_key: str, steps: Mapping[str, Callable[[], StepCounts]]
) -> RollingSum:
    """Return the sum of these steps, reading as few objects as possible.

    Parameters
    ----------
    sum_key
        The key of the sum that the previous check stored, and that this one replaces.
    steps
        By key, how to count a step that is not in the Store yet.
    """
    previous = counts.sum(sum_key) if len(steps) > SHORT_WINDOW else None
    total = (previous and _without_old_steps(counts, previous, steps)) or RollingSum(
        np.zeros(counts.size, np.int64)
    )
    for key, count in steps.items():
        if key not in total.steps:
            step = counts.step(key)
            if step is None:
                step = count()
                counts.put_step(key, step)
            total = total.plus(key, step)
    if len(steps) > SHORT_WINDOW and (previous is None or previous.steps != total.steps):
        counts.put_sum(sum_key, total)
    return total


def _without_old_steps(
    counts: CountStore, previous: RollingSum, steps: Mapping[str, object]
) -> RollingSum | None:
    """Subtract the steps that have left the window; None when summing all steps reads no more objects."""
    if len(previous.steps.keys() ^ steps.keys()) >= len(steps):
        return None
    remaining = previous
    for key in previous.steps.keys() - steps.keys():
        step = counts.step(key)
        if step is None or step.checksum != previous.steps[key][0]:
            return None
        remaining = remaining.minus(key, step)
    return remaining
