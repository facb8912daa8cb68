"""Scan the columns of two tables: infer their kinds, and count both tables on the reference's edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from homeostat.adapters.tables import Table
from homeostat.core.profile import (
    CategoryEdges,
    FeatureCounts,
    FeatureEdges,
    FeatureKind,
    NumberEdges,
    fit_edges,
)
from homeostat.core.profile.arrow_values import ArrowValues
from homeostat.core.profile.binning import bin_labels, bin_numbers
from homeostat.core.profile.fit_edges import fit_label_edges
from homeostat.core.profile.infer import (
    MAX_MISSING_MARKERS,
    ColumnKind,
    ColumnScan,
    infer_kind,
    number_labels,
)
from homeostat.core.profile.unseen import UnseenLabels

#: Bytes of the reference's numbers in memory at a time; one column alone may take more.
MAX_KEPT_BYTES = 256 * 2**20
#: Columns of the current table read at a time, when the table is columnar.
COLUMNS_PER_PASS = 16

#: Called with the work done since the last call, in columns.
OnProgress = Callable[[float], None]


@dataclass(slots=True)
class ComparedColumn:
    """One column of both tables; what a table does not have is None.

    ``edges``, ``reference`` and ``current`` are None as well when the values have no distribution to
    compare. ``unseen`` are labels of the current table that the reference lacks. ``missing_markers`` are
    texts that mean a missing number.
    """

    name: str
    kind: ColumnKind = "empty"
    reference_scan: ColumnScan | None = None
    current_scan: ColumnScan | None = None
    edges: FeatureEdges | None = None
    reference: FeatureCounts | None = None
    current: FeatureCounts | None = None
    missing_markers: frozenset[str] = field(default_factory=frozenset)
    dates: bool = False
    unseen: UnseenLabels = field(default_factory=UnseenLabels)

    def fit(self, scan: ColumnScan, wanted: FeatureKind | None) -> None:
        """Infer the kind from the reference, fit the edges, count the reference, and drop its values."""
        self.reference_scan, self.unseen = scan, UnseenLabels()
        self.kind = infer_kind(scan)
        if wanted and self.kind not in ("opaque", "empty"):
            self.kind = wanted
        if self.kind in ("number", "datetime"):
            self._fit_numbers(scan)
        elif self.kind == "category":
            self._fit_labels(scan)
        scan.kept_numbers.clear()

    def _fit_numbers(self, scan: ColumnScan) -> None:
        self.dates = scan.dates and scan.numbers > 0
        if len(scan.texts) <= MAX_MISSING_MARKERS:
            self.missing_markers = frozenset(scan.texts)
        numbers = scan.all_numbers()
        edges = fit_edges(pd.DataFrame({"": numbers}), {"": "number"}).features[""]
        counts = self.count(edges, ArrowValues(numbers, scan.texts, scan.missing, self.dates))
        self.edges = edges
        self.reference = replace(counts, unseen=counts.unseen + scan.dropped)

    def _fit_labels(self, scan: ColumnScan) -> None:
        labels = scan.labels()
        edges = fit_label_edges(np.array(list(labels.values()), dtype=np.int64), list(labels))
        if scan.dropped:
            # Dropped labels occur in the reference, so no label counts as unseen. The reference is counted
            # in a second pass, when it is known which labels have a slot.
            self.edges = replace(edges, rest=(), open=True)
        else:
            self.edges = edges
            self.reference = _count_labels(edges, labels, scan.missing)

    def count(self, edges: FeatureEdges, values: ArrowValues) -> FeatureCounts:
        """Count values on these edges.

        In a column of numbers, texts are unseen, apart from the markers of missing values. In a column of
        dates, numbers are unseen, and the other way round.
        """
        if isinstance(edges, NumberEdges):
            marked = sum(rows for text, rows in values.texts.items() if text in self.missing_markers)
            unseen = sum(values.texts.values()) - marked
            pieces = [values.numbers]
            if values.numbers.size and values.dates != self.dates:
                pieces, unseen = [np.empty(0)], unseen + values.numbers.size
            counts = bin_numbers(edges, pieces, not_numbers=unseen)
            return replace(counts, missing=values.missing + marked)
        labels = dict(values.texts)
        for label, rows in number_labels(values.numbers).items():
            labels[label] = labels.get(label, 0) + rows
        counts = _count_labels(edges, labels, values.missing)
        if counts.unseen:
            self.unseen.add(edges, labels)
        return counts


def _count_labels(edges: CategoryEdges, labels: Mapping[str, int], missing: int) -> FeatureCounts:
    rows = np.fromiter(labels.values(), dtype=np.int64, count=len(labels))
    return bin_labels(edges, rows, list(labels), missing=missing)


def scan_reference(
    columns: Sequence[ComparedColumn],
    table: Table,
    wanted: Mapping[str, FeatureKind],
    on_progress: OnProgress,
) -> None:
    """Scan the reference's columns, as many at a time as fit into memory, and fit their edges."""
    size = max(1, MAX_KEPT_BYTES // (8 * max(1, table.about_rows)))
    for group in _groups(columns, size):
        scans = {column.name: ColumnScan(keep_numbers=True) for column in group}
        for batch in table.batches(list(scans)):
            for name, scan in scans.items():
                scan.add(batch.column(name))
            on_progress(len(group) * batch.num_rows / max(1, table.about_rows))
        for column in group:
            column.fit(scans[column.name], wanted.get(column.name))
        uncounted = [column for column in group if column.edges is not None and column.reference is None]
        if uncounted:
            counts = _scan_and_count(uncounted, table, _new_scans(uncounted), lambda _: None)
            for column in uncounted:
                column.reference = counts[column.name]


def scan_current(columns: Sequence[ComparedColumn], table: Table, on_progress: OnProgress) -> None:
    """Scan the current columns batch by batch, and count them where the reference has edges."""
    for group in _groups(columns, COLUMNS_PER_PASS if table.columnar else len(columns)):
        scans = _new_scans(group)
        counts = _scan_and_count(group, table, scans, on_progress)
        for column in group:
            column.current_scan = scans[column.name]
            column.current = counts.get(column.name)


def _scan_and_count(
    columns: Sequence[ComparedColumn],
    table: Table,
    scans: Mapping[str, ColumnScan],
    on_progress: OnProgress,
) -> dict[str, FeatureCounts]:
    """Read these columns once; return the counts of those with edges."""
    counts = {
        column.name: FeatureCounts.empty(column.edges) for column in columns if column.edges is not None
    }
    for batch in table.batches(list(scans)):
        for column in columns:
            values = scans[column.name].add(batch.column(column.name))
            if column.edges is not None:
                counts[column.name] += column.count(column.edges, values)
        on_progress(len(columns) * batch.num_rows / max(1, table.about_rows))
    return counts


def _new_scans(columns: Sequence[ComparedColumn]) -> dict[str, ColumnScan]:
    """Return a scan for each column, with the reference's format of dates as a hint."""
    return {column.name: ColumnScan(date_format_hint=_date_format(column)) for column in columns}


def _date_format(column: ComparedColumn) -> str:
    return (column.reference_scan.date_format or "") if column.reference_scan else ""


def _groups(columns: Sequence[ComparedColumn], size: int) -> list[Sequence[ComparedColumn]]:
    return [columns[at : at + size] for at in range(0, len(columns), max(1, size))]
