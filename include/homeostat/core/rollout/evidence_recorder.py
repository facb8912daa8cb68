"""Count evidence about a rollout in the gateway: cheap to add to, drained with every evaluation."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from threading import Lock
from typing import Any, Protocol

import numpy as np

from homeostat.config.label_text import label_texts
from homeostat.core.rollout.evidence import CONFIDENCE_BINS, LATENCY_EDGES_MS, Tally

#: From this many rows on, numpy is faster than a loop.
_VECTORIZE_ROWS = 32


class PredictionBins(Protocol):
    """Maps predictions to bins."""

    @property
    def size(self) -> int:
        """The number of bins."""

    def __call__(self, predictions: Sequence[Any]) -> Sequence[int]:
        """Return the bin of each prediction; predictions hold no NaN and no None."""


@dataclass(frozen=True, slots=True)
class NumberBins:
    """Alternating open intervals and edges: a value equal to edge ``i`` is in bin ``2 i + 1``.

    The layout of :mod:`homeostat.core.profile`: atoms keep bins of their own and nothing falls outside.
    """

    edges: tuple[float, ...]

    @property
    def size(self) -> int:
        """One bin for each edge and one for each interval."""
        return 2 * len(self.edges) + 1

    def __call__(self, predictions: Sequence[Any]) -> Sequence[int]:
        """See :class:`PredictionBins`."""
        edges = self.edges
        if len(predictions) < _VECTORIZE_ROWS:
            return [bisect_left(edges, p) + bisect_right(edges, p) for p in predictions]
        values = np.asarray(predictions, dtype=np.float64)
        bins: list[int] = (np.searchsorted(edges, values) + np.searchsorted(edges, values, "right")).tolist()
        return bins


@dataclass(frozen=True, slots=True)
class CategoryBins:
    """A bin for each known class, by its text, and a last one for all others."""

    categories: tuple[str, ...]
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_index", {name: i for i, name in enumerate(self.categories)})

    @property
    def size(self) -> int:
        """One bin more than there are categories."""
        return len(self.categories) + 1

    def __call__(self, predictions: Sequence[Any]) -> Sequence[int]:
        """See :class:`PredictionBins`."""
        index, rest = self._index, len(self.categories)
        return [index.get(str(p), rest) for p in predictions]


def prediction_bins(reference: Any) -> PredictionBins | None:
    """Return the bins of a version's predictions on the frozen edges of its reference profile.

    None for a version without a profile, or whose profile has no predictions.
    """
    edges = getattr(getattr(reference, "edges", None), "features", {}).get("prediction")
    if edges is None:
        return None
    if edges.kind == "number":
        return NumberBins(tuple(edges.cut_points))
    # Predictions come spelled by today's rules; a reference keeps those of its time.
    return CategoryBins(tuple(str(text) for text in label_texts(edges.labels)))


class _Counts:
    """The running counts of one variant in one stage."""

    __slots__ = ("compared_bins", "confidence", "diverged_bins", "latency", "numbers", "predictions")

    def __init__(self, bins: int) -> None:
        # rows, errors, nan, out_of_range, compared, diverged, dropped: the order of Tally's fields.
        self.numbers = [0] * 7
        self.predictions = [0] * bins
        self.latency: dict[int, int] = {}
        self.confidence = [0] * CONFIDENCE_BINS
        self.compared_bins = [0] * bins
        self.diverged_bins = [0] * bins

    def tally(self) -> Tally:
        width = max(self.latency, default=-1) + 1
        latency = tuple(self.latency.get(i, 0) for i in range(width))
        predictions, confidence = _trimmed(self.predictions), _trimmed(self.confidence)
        rows, errors, nan, outside, compared, diverged, dropped = self.numbers
        return Tally(
            rows,
            errors,
            nan,
            outside,
            compared,
            diverged,
            dropped,
            predictions,
            latency,
            confidence,
            _trimmed(self.compared_bins),
            _trimmed(self.diverged_bins),
        )


def _trimmed(counts: list[int]) -> tuple[int, ...]:
    """Return counts without trailing zeros: shorter tallies add up the same and take less of the ledger."""
    last = next((i for i in range(len(counts) - 1, -1, -1) if counts[i]), -1)
    return tuple(counts[: last + 1])


def _is_prediction(value: Any) -> bool:
    return value is not None and not (isinstance(value, (float, np.floating)) and not isfinite(value))


class EvidenceRecorder:
    """Counts one rollout per (stage, variant), on the candidate's frozen edges. Thread-safe.

    Parameters
    ----------
    bins
        Maps predictions to bins, the same for all variants; None counts no distribution.
    ranges
        Lowest and highest plausible prediction per variant, from each version's manifest; a variant that is
        not named has no limits. Only for numbers.
    """

    def __init__(
        self, bins: PredictionBins | None = None, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        self._bins = bins
        self._ranges = dict(ranges or {})
        self._counts: dict[tuple[str, str], _Counts] = {}
        self._lock = Lock()

    def record_predictions(
        self,
        stage: str,
        variant: str,
        predictions: Sequence[Any],
        *,
        confidence: Sequence[float] | None = None,
        latency_ms: float | None = None,
    ) -> None:
        """Count the predicted rows of one request.

        A row is NaN (None and infinities too), else out of range, else counted in its prediction's bin. The
        latency counts once per request.
        """
        low, high = self._ranges.get(variant, (None, None))
        good, nan, outside = [], 0, 0
        for prediction in predictions:
            if not _is_prediction(prediction):
                nan += 1
            elif low is not None and high is not None and not low <= prediction <= high:
                outside += 1
            else:
                good.append(prediction)
        bins = self._bins(good) if self._bins is not None and good else ()
        with self._lock:
            counts = self._of(stage, variant)
            counts.numbers[0] += len(predictions)
            counts.numbers[2] += nan
            counts.numbers[3] += outside
            for i in bins:
                counts.predictions[i] += 1
            for value in confidence if confidence is not None else ():
                if 0.0 <= value <= 1.0:
                    counts.confidence[min(int(value * CONFIDENCE_BINS), CONFIDENCE_BINS - 1)] += 1
            if latency_ms is not None:
                i = bisect_left(LATENCY_EDGES_MS, latency_ms)
                counts.latency[i] = counts.latency.get(i, 0) + 1

    def record_failure(self, stage: str, variant: str, rows: int = 1) -> None:
        """Count rows for which the model raised an exception."""
        with self._lock:
            numbers = self._of(stage, variant).numbers
            numbers[0] += rows
            numbers[1] += rows

    def record_comparison(
        self, stage: str, variant: str, diverged: Iterable[bool], champion: Sequence[Any] = ()
    ) -> None:
        """Count rows compared with the champion's prediction: True where they differ.

        Parameters
        ----------
        champion
            The champion's predictions of these rows, to count them by bin; empty: they are not.
        """
        flags = [bool(flag) for flag in diverged]
        pairs = [(p, flag) for p, flag in zip(champion, flags, strict=False) if _is_prediction(p)]
        bins = self._bins([p for p, _ in pairs]) if self._bins is not None and pairs else ()
        with self._lock:
            counts = self._of(stage, variant)
            counts.numbers[4] += len(flags)
            counts.numbers[5] += sum(flags)
            for i, (_, flag) in zip(bins, pairs, strict=False):
                counts.compared_bins[i] += 1
                counts.diverged_bins[i] += flag

    def record_dropped(self, stage: str, variant: str, rows: int = 1) -> None:
        """Count rows that the variant never got because its queue was full."""
        with self._lock:
            self._of(stage, variant).numbers[6] += rows

    def drain(self) -> dict[tuple[str, str], Tally]:
        """Return all counts since the last drain, and start again at 0."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return {key: counts.tally() for key, counts in taken.items()}

    def _of(self, stage: str, variant: str) -> _Counts:
        key = (stage, variant)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _Counts(self._bins.size if self._bins is not None else 0)
        return counts
