"""Count the values of a column batch by batch on the reference's edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from homeostat.core.profile import CategoryEdges, FeatureCounts, FeatureEdges, NumberEdges
from homeostat.core.profile.arrow_typed import ArrowValues
from homeostat.core.profile.binning import NumberBins, bin_labels
from homeostat.core.profile.scan import number_labels
from homeostat.core.profile.unseen import UnseenLabels


@dataclass(slots=True)
class ColumnCounter:
    """The counts of a column so far; :meth:`add` takes it in batch by batch.

    In a column of numbers, texts are unseen, apart from the markers of missing values. In a column of dates,
    numbers are unseen, and the other way round.

    Attributes
    ----------
    edges
        Fitted to the reference.
    dates
        Whether the column is one of dates.
    words_are_values
        Whether words for "missing" are values.
    missing_markers
        Texts that mean a missing number.
    unseen_labels
        Where labels that the edges lack are added.
    """

    edges: FeatureEdges
    dates: bool
    words_are_values: bool
    missing_markers: frozenset[str]
    unseen_labels: UnseenLabels
    _missing: int = 0
    _unseen: int = 0
    _bins: NumberBins | None = field(init=False)
    _labels: FeatureCounts = field(init=False)

    def __post_init__(self) -> None:
        self._bins = NumberBins(self.edges) if isinstance(self.edges, NumberEdges) else None
        self._labels = FeatureCounts.empty(self.edges)

    @property
    def counts(self) -> FeatureCounts:
        """The counts of all batches so far."""
        found = self._bins.counts if self._bins else self._labels
        return replace(found, missing=found.missing + self._missing, unseen=found.unseen + self._unseen)

    def add(self, values: ArrowValues) -> None:
        """Count the values of one more batch."""
        self._missing += values.missing + (0 if self.words_are_values else sum(values.words.values()))
        if isinstance(self.edges, CategoryEdges):
            self._add_labels(self.edges, values)
        else:
            self._add_numbers(values)

    def _add_numbers(self, values: ArrowValues) -> None:
        marked, unseen = split_texts(values.texts, self.missing_markers)
        self._missing, self._unseen = self._missing + marked, self._unseen + unseen
        if self._bins and values.dates == self.dates:
            self._bins.add(values.numbers)
        else:
            self._unseen += values.numbers.size

    def _add_labels(self, edges: CategoryEdges, values: ArrowValues) -> None:
        labels = dict(values.texts)
        for more in (values.words if self.words_are_values else {}, number_labels(values.numbers)):
            for label, rows in more.items():
                labels[label] = labels.get(label, 0) + rows
        counts = count_labels(edges, labels)
        if counts.unseen:
            self.unseen_labels.add(edges, labels)
        self._labels += counts


def count_labels(edges: CategoryEdges, labels: Mapping[str, int], *, missing: int = 0) -> FeatureCounts:
    """Count labels by their rows."""
    rows = np.fromiter(labels.values(), dtype=np.int64, count=len(labels))
    return bin_labels(edges, rows, list(labels), missing=missing)


def split_texts(texts: Mapping[str, int], missing_markers: frozenset[str]) -> tuple[int, int]:
    """Return the rows of markers of missing values, and those of other texts."""
    marked = sum(rows for text, rows in texts.items() if text in missing_markers)
    return marked, sum(texts.values()) - marked
