"""Scan the columns of two tables: infer their kinds, and count both tables on the reference's edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from homeostat.adapters.tables import Table, file_of
from homeostat.cli.commands.drift_counts import ColumnCounter, count_labels, split_texts
from homeostat.core.profile import FeatureCounts, FeatureEdges, FeatureKind
from homeostat.core.profile.binning import bin_sorted
from homeostat.core.profile.fit_edges import fit_label_edges, fit_sorted_numbers
from homeostat.core.profile.infer import ColumnKind, decide_reading, infer_kind, is_doubtful, missing_markers
from homeostat.core.profile.notes import ambiguous_note
from homeostat.core.profile.parallel import MAX_THREADS, run_parallel
from homeostat.core.profile.reading import Reading, ReadingKind
from homeostat.core.profile.scan import ColumnScan, dates_by_file
from homeostat.core.profile.unseen import UnseenLabels
from homeostat.core.values.date_orders import decide_orders

#: Bytes of the reference's numbers in memory at a time; one column alone may take more.
MAX_KEPT_BYTES = 256 * 2**20
_MAX_ROUNDS = 2

#: Called with the work done since the last call, in columns.
OnProgress = Callable[[float], None]


@dataclass(slots=True)
class ComparedColumn:
    """One column of both tables; what a table does not have is None.

    ``edges``, ``reference`` and ``current`` are None as well when the values have no distribution to
    compare. ``asked`` is the reading that model.yaml or the command line asks for, ``readings`` are those
    of the reference and the current table. ``missing_markers`` are texts that mean a missing number.
    ``words_are_values``: words for "missing" are values, as in a column of text.
    ``ambiguous`` says why dates or numbers cannot be read, ``unseen`` are labels of the current table that
    the reference lacks.
    """

    name: str
    asked: Reading | None = None
    wanted: FeatureKind | None = None
    kind: ColumnKind = "empty"
    readings: tuple[Reading, Reading] = (Reading(), Reading())
    reference_scan: ColumnScan | None = None
    current_scan: ColumnScan | None = None
    edges: FeatureEdges | None = None
    reference: FeatureCounts | None = None
    current: FeatureCounts | None = None
    missing_markers: frozenset[str] = field(default_factory=frozenset)
    words_are_values: bool = False
    dates: bool = False
    unseen: UnseenLabels = field(default_factory=UnseenLabels)
    ambiguous: str = ""

    @property
    def read_as(self) -> ReadingKind:
        """What the text of both tables is read as."""
        return self.readings[0].kind

    def fit(self, scan: ColumnScan) -> None:
        """Infer the kind from the reference, fit the edges, count the reference, and drop its values."""
        self.edges = self.reference = None
        self.missing_markers, self.dates = frozenset(), False
        self.reference_scan, self.unseen = scan, UnseenLabels()
        if scan.reading is None:
            reading, _, _ = decide_reading(scan, None, self.asked)
            self.readings = (reading, reading)
        self.words_are_values = scan.words_are_values(self.readings[0])
        scan.settle(words_are_values=self.words_are_values)
        self.kind = infer_kind(scan, self.read_as)
        if self.wanted and self.kind not in ("opaque", "empty"):
            self.kind = self.wanted
        if self.kind in ("number", "datetime"):
            self._fit_numbers(scan)
        elif self.kind == "category":
            self._fit_labels(scan)
        scan.kept_numbers.clear()

    def _fit_numbers(self, scan: ColumnScan) -> None:
        self.dates = self.kind == "datetime"
        self.missing_markers = missing_markers(scan, self.read_as)
        numbers = scan.all_numbers()
        numbers.sort()
        self.edges = fit_sorted_numbers(numbers)
        marked, unseen = split_texts(scan.texts, self.missing_markers)
        counts = bin_sorted(self.edges, numbers, not_numbers=unseen + scan.dropped)
        self.reference = replace(counts, missing=scan.missing + marked)

    def _fit_labels(self, scan: ColumnScan) -> None:
        labels = scan.labels()
        edges = fit_label_edges(np.array(list(labels.values()), dtype=np.int64), list(labels))
        if scan.dropped:
            # Dropped labels occur in the reference, so no label counts as unseen. The reference is counted
            # in a second pass, when it is known which labels have a slot.
            self.edges = replace(edges, rest=(), open=True)
        else:
            self.edges = edges
            self.reference = count_labels(edges, labels, missing=scan.missing)

    def new_counter(self) -> ColumnCounter | None:
        """Return what counts the values of a table; None without edges."""
        if self.edges is None:
            return None
        words, markers = self.words_are_values, self.missing_markers
        return ColumnCounter(self.edges, self.dates, words, markers, self.unseen)


def scan_tables(
    columns: Sequence[ComparedColumn], reference: Table, current: Table, on_progress: OnProgress
) -> None:
    """Scan and count the columns of both tables.

    Columns whose text turns out to be something else than it looked at first are read again.
    """
    before = [column for column in columns if column.name in reference.types]
    now = [column for column in columns if column.name in current.types]
    scan_reference(before, reference, on_progress)
    scan_current(now, current, on_progress)
    for _ in range(_MAX_ROUNDS):
        again = [column for column in before if column.current_scan and _must_be_read_again(column)]
        if not again:
            break
        scan_reference(again, reference, lambda _: None)
        scan_current(again, current, lambda _: None)
    for column in columns:
        if column.current_scan:
            column.current_scan.settle(words_are_values=column.words_are_values)


def _must_be_read_again(column: ComparedColumn) -> bool:
    """Decide how to read a column of both tables; return whether it was read in another way."""
    before, now = column.reference_scan, column.current_scan
    if before is None or now is None:
        return False
    *readings, ambiguous = decide_reading(before, now, column.asked)
    doubts = decide_orders(dates_by_file(before, now)).doubts if ambiguous else {}
    column.ambiguous = ambiguous_note(ambiguous, column.name, doubts) if ambiguous else ""
    same = column.read_as == readings[0].kind
    column.readings = (readings[0], readings[1])
    if ambiguous:
        column.kind = "datetime" if column.read_as == "dates" else "number"
        column.edges = column.reference = column.current = None
        return False
    known = before.agrees(readings[0]) and now.agrees(readings[1]) and not is_doubtful((before, now))
    return not (same and known)


def scan_reference(columns: Sequence[ComparedColumn], table: Table, on_progress: OnProgress) -> None:
    """Scan the reference's columns, as many at a time as fit into memory, and fit their edges."""
    most = max(1, MAX_KEPT_BYTES // (8 * max(1, table.about_rows)))  # columns in memory, of all threads
    size = min(most, table.columns_per_pass)

    def scan_group(group: Sequence[ComparedColumn]) -> None:
        scans = {column.name: _new_scan(column, side=0) for column in group}
        for batch in table.batches(list(scans), codes=True):
            file = file_of(batch)
            for name, scan in scans.items():
                scan.add(batch.column(name), file)
            on_progress(len(group) * batch.num_rows / max(1, table.about_rows))
        for column in group:
            column.fit(scans[column.name])
        uncounted = [column for column in group if column.edges is not None and column.reference is None]
        if uncounted:
            again = {column.name: _new_scan(column, side=0) for column in uncounted}
            counts = _scan_and_count(uncounted, table, again, lambda _: None)
            for column in uncounted:
                column.reference = counts[column.name]

    at_once = most // size
    _in_groups(scan_group, columns, size, table, None if at_once >= MAX_THREADS else at_once)


def scan_current(columns: Sequence[ComparedColumn], table: Table, on_progress: OnProgress) -> None:
    """Scan the current columns batch by batch, and count them where the reference has edges."""

    def scan_group(group: Sequence[ComparedColumn]) -> None:
        scans = {column.name: _new_scan(column, side=1) for column in group}
        counts = _scan_and_count(group, table, scans, on_progress)
        for column in group:
            column.current_scan = scans[column.name]
            column.current = counts.get(column.name)

    _in_groups(scan_group, columns, table.columns_per_pass, table)


def _in_groups(
    work: Callable[[Sequence[ComparedColumn]], None],
    columns: Sequence[ComparedColumn],
    size: int,
    table: Table,
    threads: int | None = None,
) -> None:
    """Do the work for so many columns at a time, in several threads where that pays and memory allows."""
    groups = [columns[at : at + size] for at in range(0, len(columns), max(1, size))]
    run_parallel(work, groups, values=table.about_rows * len(columns), threads=threads)


def _scan_and_count(
    columns: Sequence[ComparedColumn],
    table: Table,
    scans: Mapping[str, ColumnScan],
    on_progress: OnProgress,
) -> dict[str, FeatureCounts]:
    """Read these columns once; return the counts of those with edges."""
    counters = {column.name: column.new_counter() for column in columns}
    for batch in table.batches(list(scans), codes=True):
        file = file_of(batch)
        for name, counter in counters.items():
            values = scans[name].add(batch.column(name), file)
            if counter is not None:
                counter.add(values)
        on_progress(len(columns) * batch.num_rows / max(1, table.about_rows))
    return {name: counter.counts for name, counter in counters.items() if counter is not None}


def _new_scan(column: ComparedColumn, *, side: int) -> ColumnScan:
    """Return a scan of the reference (side 0) or the current table; a second one reads as decided."""
    known = column.reference_scan if side else None
    reading = column.readings[side] if column.current_scan else None
    return ColumnScan(keep_numbers=side == 0, reading=reading, asked=column.asked, other=known)
