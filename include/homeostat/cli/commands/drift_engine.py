"""Columns of an engine's table: fitted on a sample, counted in the engine."""

from __future__ import annotations

from collections.abc import Sequence

from homeostat.adapters.engines.sample import Sample, read_sample
from homeostat.adapters.engines.table import EngineTable
from homeostat.adapters.tables import Table
from homeostat.cli.commands.drift_columns import ComparedColumn, OnProgress, scan_current, scan_reference
from homeostat.core.profile import FeatureEdges, Profile, ProfileEdges
from homeostat.core.profile.arrow_typed import ArrowValues
from homeostat.core.profile.fit_sample import float_edges, settle_sample
from homeostat.core.profile.reading import Reading
from homeostat.core.profile.scan import ColumnScan

#: Rows on which edges are fitted; the counts on them are those of all rows.
SAMPLE_ROWS = 200_000


def scan_engines(
    columns: Sequence[ComparedColumn],
    reference: Table | EngineTable,
    current: Table | EngineTable,
    on_progress: OnProgress,
) -> None:
    """Scan and count two tables of which at least one is an engine's."""
    for table in (reference, current):
        if isinstance(table, EngineTable):
            _read_text_as_text(columns, table)
    before = [column for column in columns if column.name in reference.types]
    now = [column for column in columns if column.name in current.types]
    if isinstance(reference, EngineTable):
        _scan_reference(before, reference, on_progress)
    else:
        scan_reference(before, reference, on_progress)
    if isinstance(current, EngineTable):
        _scan_current(now, current, on_progress)
        return
    scan_current(now, current, on_progress)
    for column in now:
        if column.current_scan:
            column.current_scan.settle(words_are_values=column.words_are_values)


def _read_text_as_text(columns: Sequence[ComparedColumn], table: EngineTable) -> None:
    """Take an engine's types as they are: its text holds no numbers and dates, unless someone says so."""
    for column in columns:
        if column.asked is None and table.types.get(column.name) == "string":
            column.asked = Reading("text")


def _scan_reference(columns: Sequence[ComparedColumn], table: EngineTable, on_progress: OnProgress) -> None:
    """Fit the edges of the reference's columns on a sample, and count all of its rows."""
    columns = _readable(columns, table)
    sample = read_sample(table, [column.name for column in columns], SAMPLE_ROWS)
    edges: dict[str, FeatureEdges] = {}
    for column in columns:
        scan = ColumnScan(keep_numbers=True, asked=column.asked)
        _add(scan, sample, column.name)
        column.fit(scan)
        if column.edges is not None:
            edges[column.name] = float_edges(column.edges)
    on_progress(len(columns) / 2)
    profile = table.profile(ProfileEdges(edges))
    settled = profile if sample.whole else settle_sample(profile)
    for column in columns:
        if column.edges is not None:
            column.reference = settled.features[column.name]
            column.edges = column.reference.edges
        if column.reference_scan is not None:
            _take_totals(column.reference_scan, column.name, settled)
    on_progress(len(columns) / 2)


def _scan_current(columns: Sequence[ComparedColumn], table: EngineTable, on_progress: OnProgress) -> None:
    """Count the rows of the current table on the reference's edges."""
    columns = _readable(columns, table)
    sample = read_sample(table, [column.name for column in columns], SAMPLE_ROWS)
    edges = ProfileEdges({each.name: each.edges for each in columns if each.edges is not None})
    profile = table.profile(edges)
    for column in columns:
        scan = ColumnScan(asked=column.asked, other=column.reference_scan)
        counter = column.new_counter() if sample.whole else None  # which names the labels never seen
        for values in _add(scan, sample, column.name):
            if counter is not None:
                counter.add(values)
        column.current_scan = scan
        column.current = profile.features.get(column.name)
        _take_totals(scan, column.name, profile)
    on_progress(len(columns))


def _readable(columns: Sequence[ComparedColumn], table: EngineTable) -> list[ComparedColumn]:
    return [column for column in columns if table.types.get(column.name) not in (None, "null")]


def _add(scan: ColumnScan, sample: Sample, name: str) -> list[ArrowValues]:
    return [scan.add(chunk) for chunk in sample.rows.column(name).chunks]


def _take_totals(scan: ColumnScan, name: str, profile: Profile) -> None:
    """Put the rows of the whole table in the place of the sample's."""
    scan.rows = profile.rows
    if name in profile.features:
        scan.missing = profile.features[name].missing
