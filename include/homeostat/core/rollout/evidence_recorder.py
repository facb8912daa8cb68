"""Counting evidence on the gateway's hot path: cheap to add to, drained every second."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from threading import Lock
from typing import Any, Protocol

import numpy as np

from homeostat.core.rollout.evidence import CONFIDENCE_SLOTS, LATENCY_EDGES_MS, Tally

#: From this many rows on, numpy is faster than one row after the other.
_MANY = 32


class Slots(Protocol):
    """Where predictions are counted."""

    @property
    def size(self) -> int:
        """The number of slots."""

    def __call__(self, predictions: Sequence[Any]) -> Sequence[int]:
        """The slot of every prediction; none is NaN or None."""


@dataclass(frozen=True, slots=True)
class NumberSlots:
    """Open intervals and the rising edges between them, in turn: edge ``i`` hit exactly is slot ``2 i + 1``.

    The layout of :mod:`homeostat.core.profile`: atoms keep slots of their own and nothing falls outside.
    """

    edges: tuple[float, ...]

    @property
    def size(self) -> int:
        """One slot for each edge and one for each interval."""
        return 2 * len(self.edges) + 1

    def __call__(self, predictions: Sequence[Any]) -> Sequence[int]:
        """See :class:`Slots`."""
        edges = self.edges
        if len(predictions) < _MANY:
            return [bisect_left(edges, p) + bisect_right(edges, p) for p in predictions]
        values = np.asarray(predictions, dtype=np.float64)
        slots: list[int] = (np.searchsorted(edges, values) + np.searchsorted(edges, values, "right")).tolist()
        return slots


@dataclass(frozen=True, slots=True)
class CategorySlots:
    """A slot for each known answer, by its text, and a last one for all others."""

    categories: tuple[str, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {name: slot for slot, name in enumerate(self.categories)})

    @property
    def size(self) -> int:
        """One slot more than there are categories."""
        return len(self.categories) + 1

    def __call__(self, predictions: Sequence[Any]) -> Sequence[int]:
        """See :class:`Slots`."""
        index, rest = self._index, len(self.categories)
        return [index.get(str(p), rest) for p in predictions]


class _Counts:
    """The growing counts of one variant in one stage."""

    __slots__ = ("confidence", "latency", "numbers", "predictions")

    def __init__(self, slots: int) -> None:
        # answers, errors, nan, out_of_range, compared, diverged, dropped: the order of Tally's fields.
        self.numbers = [0] * 7
        self.predictions = [0] * slots
        self.latency: dict[int, int] = {}
        self.confidence = [0] * CONFIDENCE_SLOTS

    def tally(self) -> Tally:
        width = max(self.latency, default=-1) + 1
        latency = tuple(self.latency.get(slot, 0) for slot in range(width))
        predictions, confidence = _trimmed(self.predictions), _trimmed(self.confidence)
        answers, errors, nan, outside, compared, diverged, dropped = self.numbers
        return Tally(
            answers, errors, nan, outside, compared, diverged, dropped, predictions, latency, confidence
        )


def _trimmed(counts: list[int]) -> tuple[int, ...]:
    """Without the zeros at the end: shorter tallies add up all the same, and take less of the ledger."""
    last = next((slot for slot in range(len(counts) - 1, -1, -1) if counts[slot]), -1)
    return tuple(counts[: last + 1])


class Recorder:
    """Counts of one rollout per (stage, variant), on the candidate's frozen edges. Safe between threads.

    Parameters
    ----------
    slots
        Maps predictions to slots, the same for all variants; None counts no distribution.
    ranges
        Lowest and highest plausible prediction per variant, each by its own version's manifest; a
        variant that is not named has no limits. Only for numbers.
    """

    def __init__(
        self, slots: Slots | None = None, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        self._slots = slots
        self._ranges = dict(ranges or {})
        self._counts: dict[tuple[str, str], _Counts] = {}
        self._lock = Lock()

    def answered(
        self,
        stage: str,
        variant: str,
        predictions: Sequence[Any],
        *,
        confidence: Sequence[float] | None = None,
        latency_ms: float | None = None,
    ) -> None:
        """Count the rows of one request that was answered.

        A row is NaN (None and infinities too), else out of range, else a prediction that is counted in its
        slot; the latency counts once, however many rows the request had.
        """
        low, high = self._ranges.get(variant, (None, None))
        good, nan, outside = [], 0, 0
        for prediction in predictions:
            if prediction is None or (
                isinstance(prediction, (float, np.floating)) and not isfinite(prediction)
            ):
                nan += 1
            elif low is not None and high is not None and not low <= prediction <= high:
                outside += 1
            else:
                good.append(prediction)
        slots = self._slots(good) if self._slots is not None and good else ()
        with self._lock:
            counts = self._of(stage, variant)
            counts.numbers[0] += len(predictions)
            counts.numbers[2] += nan
            counts.numbers[3] += outside
            for slot in slots:
                counts.predictions[slot] += 1
            for value in confidence if confidence is not None else ():
                if 0.0 <= value <= 1.0:
                    counts.confidence[min(int(value * CONFIDENCE_SLOTS), CONFIDENCE_SLOTS - 1)] += 1
            if latency_ms is not None:
                slot = bisect_left(LATENCY_EDGES_MS, latency_ms)
                counts.latency[slot] = counts.latency.get(slot, 0) + 1

    def failed(self, stage: str, variant: str, rows: int = 1) -> None:
        """Count rows that ended in an exception of the model."""
        with self._lock:
            numbers = self._of(stage, variant).numbers
            numbers[0] += rows
            numbers[1] += rows

    def compared(self, stage: str, variant: str, diverged: Iterable[bool]) -> None:
        """Count rows whose answer was held against the champion's: True where it differs."""
        flags = [bool(flag) for flag in diverged]
        with self._lock:
            numbers = self._of(stage, variant).numbers
            numbers[4] += len(flags)
            numbers[5] += sum(flags)

    def dropped(self, stage: str, variant: str, rows: int = 1) -> None:
        """Count rows that a full queue kept from the variant."""
        with self._lock:
            self._of(stage, variant).numbers[6] += rows

    def drain(self) -> dict[tuple[str, str], Tally]:
        """Everything since the last drain; counting starts again at 0."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return {key: counts.tally() for key, counts in taken.items()}

    def _of(self, stage: str, variant: str) -> _Counts:
        key = (stage, variant)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _Counts(self._slots.size if self._slots is not None else 0)
        return counts
