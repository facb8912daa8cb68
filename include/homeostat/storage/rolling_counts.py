"""Counts of a window's steps as they lie in the Store, and the sum of them that goes from check to check.

A step's counts are kept under a name that says what they were made of: a file that comes late makes another
name. The sum says which steps are in it. So the next check takes off what the window has left behind and
adds what is new, exactly, since counts are integers: it reads three objects, however long the window is.

Whatever is gone, damaged or made of something else than it says is made anew. Of two checks at once each
writes whole objects that stand for themselves, and the last one's sum is kept.
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
Found = TypeVar("Found", "Step", "Sum")

#: Windows of so many steps are added up anew: no sum would save a read.
SHORT = 3


@dataclass(frozen=True, slots=True)
class Noted:
    """What a step's rows showed besides their counts: broken contracts, and files that cannot be read."""

    findings: tuple[Mapping[str, Any], ...] = ()
    torn: tuple[str, ...] = ()

    def to_json(self) -> list[Any]:
        """Plain JSON."""
        return [list(self.findings), list(self.torn)]

    @classmethod
    def from_json(cls, raw: Iterable[Any]) -> Noted:
        """Read what :meth:`to_json` gave."""
        findings, torn = raw
        return cls(tuple(findings), tuple(torn))


@dataclass(frozen=True, slots=True)
class Step:
    """Counts of one step's rows, shape (n,), and what else they showed."""

    counts: Ints
    noted: Noted

    @property
    def mark(self) -> str:
        """Which counts these are: a sum takes off again what it once added, and nothing else."""
        return hashlib.sha256(self.counts.astype("<i8").tobytes()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Sum:
    """Counts of several steps, and for each of them, by its key, its mark and what it showed."""

    counts: Ints
    steps: Mapping[str, tuple[str, Noted]] = field(default_factory=dict)

    def plus(self, key: str, step: Step) -> Sum:
        """With one step more."""
        return Sum(self.counts + step.counts, {**self.steps, key: (step.mark, step.noted)})

    def minus(self, key: str, step: Step) -> Sum:
        """Without this step, which must be in it."""
        return Sum(self.counts - step.counts, {k: v for k, v in self.steps.items() if k != key})


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where steps and sums of the same shape lie; ``digest`` is that of the frames they are counted on."""

    store: Store
    digest: str
    size: int

    def step(self, key: str) -> Step | None:
        """A kept step, or None."""
        return self._get(key, "step", lambda head, counts: Step(counts, Noted.from_json(head["noted"])))

    def sum(self, key: str) -> Sum | None:
        """A kept sum, or None."""

        def read(head: dict[str, Any], counts: Ints) -> Sum:
            steps = {name: (str(mark), Noted.from_json(raw)) for name, (mark, *raw) in head["steps"].items()}
            return Sum(counts, steps)

        return self._get(key, "sum", read)

    def put_step(self, key: str, step: Step) -> None:
        """Keep a step."""
        self._put(key, "step", {"noted": step.noted.to_json()}, step.counts)

    def put_sum(self, key: str, total: Sum) -> None:
        """Keep a sum in the place of the one before."""
        steps = {name: [mark, *noted.to_json()] for name, (mark, noted) in total.steps.items()}
        self._put(key, "sum", {"steps": steps}, total.counts)

    def _put(self, key: str, kind: str, head: Mapping[str, Any], counts: Ints) -> None:
        data = codec.pack_counts(kind, {"frames": self.digest, **head}, counts)
        self.store.put(key, data, overwrite=True)

    def _get(self, key: str, kind: str, read: Callable[[dict[str, Any], Ints], Found]) -> Found | None:
        try:
            head, counts = codec.unpack_counts(kind, self.store.get(key))
            if head["frames"] != self.digest or counts.shape != (self.size,) or (counts < 0).any():
                logger.warning("%s is no %s of these counts and is made anew", key, kind)
                return None
            return read(head, counts)
        except NotFound:
            return None
        except (DataError, KeyError, TypeError, ValueError, AttributeError) as error:
            logger.warning("%s cannot be read and is made anew: %s", key, error)
            return None


def add_up(shelf: Shelf, kept: str, steps: Mapping[str, Callable[[], Step]]) -> Sum:
    """The sum of these steps, from as few objects as will do.

    Parameters
    ----------
    kept
        The key of the sum that the check before left, and that this one leaves.
    steps
        By key, how to count a step that is not in the Store yet.
    """
    before = shelf.sum(kept) if len(steps) > SHORT else None
    total = (before and _rolled(shelf, before, steps)) or Sum(np.zeros(shelf.size, np.int64))
    for key, count in steps.items():
        if key not in total.steps:
            step = shelf.step(key)
            if step is None:
                step = count()
                shelf.put_step(key, step)
            total = total.plus(key, step)
    if len(steps) > SHORT and (before is None or before.steps != total.steps):
        shelf.put_sum(kept, total)
    return total


def _rolled(shelf: Shelf, before: Sum, steps: Mapping[str, object]) -> Sum | None:
    """What is left of the sum without the steps that are none of these; None when that would not pay."""
    if len(before.steps.keys() ^ steps.keys()) >= len(steps):
        return None
    left = before
    for key in before.steps.keys() - steps.keys():
        step = shelf.step(key)
        if step is None or step.mark != before.steps[key][0]:
            return None
        left = left.minus(key, step)
    return left
