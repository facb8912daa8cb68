"""Compare two tables column by column: a verdict for each column, and one for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from homeostat.adapters.column_names import row_hint
from homeostat.adapters.engines.table import EngineTable
from homeostat.adapters.tables import Table
from homeostat.cli.commands.drift_columns import ComparedColumn, OnProgress, scan_tables
from homeostat.cli.commands.drift_engine import scan_engines
from homeostat.cli.commands.drift_readings import new_columns, note_of, rows_unread
from homeostat.cli.commands.drift_reasons import (
    data_set_reason,
    role_in_model,
    why_not_compared,
    with_left_out,
    without_dates_called_numbers,
)
from homeostat.cli.commands.drift_result import COLUMN_PREFIX, ColumnResult, RowCounts, TableComparison
from homeostat.cli.commands.drift_schema import compare_schemas
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.model import Monitor
from homeostat.core.drift import DriftReport, DriftVerdict, FeatureVerdict, SchemaFinding, compare_profiles
from homeostat.core.profile import FeatureCounts, FeatureKind, Profile, ProfileEdges
from homeostat.core.profile.infer import is_index_like


@dataclass(frozen=True, slots=True)
class _Group:
    """Columns whose p-values are corrected together, and their report."""

    columns: Sequence[ComparedColumn]
    report: DriftReport
    in_share: bool


def compare_tables(
    reference: Table | EngineTable,
    current: Table | EngineTable,
    monitor: Monitor,
    config: ModelConfig | None,
    on_progress: OnProgress,
    date_formats: Mapping[str, str] | None = None,
) -> TableComparison:
    """Compare every column of two tables.

    Parameters
    ----------
    reference, current
        The data to compare with, and the data to check.
    monitor
        The thresholds.
    config
        Kinds of the columns, and which of them are features: only features count in the drifted share.
        Without it every column that both tables have counts.
    on_progress
        Called with the work done since the last call, in columns.
    date_formats
        Formats of columns whose dates cannot be told from their values: of ``strptime``, or a unit in which
        numbers count from 1970 (``s``, ``ms``, ``us``, ``ns``).

    Raises
    ------
    DataError
        The tables have no column in common.
    ConfigError
        A format is none, or is for a column that neither table has.
    """
    _require_common_column(reference, current)
    wanted = _feature_kinds(config)
    columns = new_columns((*reference.names, *current.names), config, date_formats or {})
    if isinstance(reference, EngineTable) or isinstance(current, EngineTable):
        scan_engines(columns, reference, current, on_progress)
    else:
        scan_tables(columns, reference, current, on_progress)
    _exclude_index_like(columns, wanted, config.columns.timestamp if config else None)
    rows = _count_rows(columns)
    in_share = [column for column in columns if not config or column.name in wanted]
    outside = [column for column in columns if config and column.name not in wanted]
    features = _compare_group(in_share, rows, monitor, in_share=True)
    others = _compare_group(outside, rows, monitor, in_share=False)
    by_name = {
        **{result.name: result for result in _results(features, monitor)},
        **{result.name: _with_role(result, config) for result in _results(others, monitor)},
    }
    results = tuple(by_name[column.name] for column in columns)
    reason = data_set_reason(features.report, rows, monitor, config)
    return TableComparison(
        reference=reference.uri,
        current=current.uri,
        rows=rows,
        monitor=monitor,
        columns=results,
        schema=_schema(compare_schemas(columns, reference, current, config), features.report, results),
        drifted_share=features.report.drifted_share,
        verdict=features.report.verdict,
        reason=with_left_out(reason, features.report, results, wanted),
        notes=tuple(dict.fromkeys((*reference.notes, *current.notes))),
    )


def _require_common_column(reference: Table | EngineTable, current: Table | EngineTable) -> None:
    if not set(reference.names) & set(current.names):
        has = [f"{table.uri} has {_first_names(table.names)}" for table in (reference, current)]
        hint = row_hint(current.names) or row_hint(reference.names)
        msg = f"no column in common: {'; '.join(has)}{hint}"
        raise DataError(msg)


def _feature_kinds(config: ModelConfig | None) -> dict[str, FeatureKind]:
    return {name: feature.type for name, feature in config.columns.features.items()} if config else {}


def _exclude_index_like(
    columns: Sequence[ComparedColumn], wanted: Mapping[str, FeatureKind], timestamp: str | None
) -> None:
    """Remove the counts of timestamps and running numbers, which differ in any two tables."""
    for column in columns:
        before, now, counts = column.reference_scan, column.current_scan, column.current
        if counts is None or before is None or now is None or column.name in wanted:
            continue
        if column.kind not in ("number", "datetime") or not counts.binned:
            continue
        outside = max(int(counts.slots[0]), int(counts.slots[-1])) / counts.binned
        if column.name == timestamp or is_index_like(before, now, outside):
            column.edges = column.reference = column.current = None
            column.kind = "datetime" if column.kind == "datetime" else "id"


def _count_rows(columns: Sequence[ComparedColumn]) -> RowCounts:
    return RowCounts(
        max((c.reference_scan.rows for c in columns if c.reference_scan), default=0),
        max((c.current_scan.rows for c in columns if c.current_scan), default=0),
    )


def _compare_group(
    columns: Sequence[ComparedColumn], rows: RowCounts, monitor: Monitor, *, in_share: bool
) -> _Group:
    """Compare the columns that have counts; an absent column counts as missing in every row."""
    before: dict[str, FeatureCounts] = {}
    now: dict[str, FeatureCounts] = {}
    for column in columns:
        if column.reference is None:
            continue
        absent = replace(FeatureCounts.empty(column.reference.edges), missing=rows.current)
        before[COLUMN_PREFIX + column.name] = column.reference
        now[COLUMN_PREFIX + column.name] = absent if column.current is None else column.current
    edges = ProfileEdges({name: counts.edges for name, counts in before.items()})
    report = compare_profiles(
        Profile(edges, rows.reference, before), Profile(edges, rows.current, now), monitor
    )
    return _Group(columns, report, in_share)


def _results(group: _Group, monitor: Monitor) -> list[ColumnResult]:
    verdicts = {
        verdict.name.removeprefix(COLUMN_PREFIX): verdict
        for verdict in (*group.report.features, *group.report.outputs)
    }
    return [
        _column_result(column, verdicts.get(column.name), monitor, in_share=group.in_share)
        for column in group.columns
    ]


def _column_result(
    column: ComparedColumn, verdict: FeatureVerdict | None, monitor: Monitor, *, in_share: bool
) -> ColumnResult:
    kind = None if column.kind in ("empty", "opaque") else column.kind
    read_as, unread = note_of(column), rows_unread(column)
    if verdict is None:
        stats = _not_compared(column, monitor)
        return ColumnResult(_with_note(stats, read_as), kind, in_share=False, read_as=read_as, unread=unread)
    if column.current_scan is None:
        stats = FeatureVerdict(
            column.name,
            verdict.kind,
            "not_computable",
            why_not_compared(column),
            drifted=None,
            missing_reference=column.reference_scan.missing_rate if column.reference_scan else None,
        )
    else:
        reason = without_dates_called_numbers(verdict.reason, column)
        stats = _with_unseen(replace(verdict, name=column.name, reason=reason), column)
        stats = _with_note(stats, read_as)
    return ColumnResult(
        stats,
        kind,
        in_share,
        column.reference,
        column.current,
        column.dates,
        unseen=column.unseen.most_frequent(),
        read_as=read_as,
        unread=unread,
    )


def _with_unseen(stats: FeatureVerdict, column: ComparedColumn) -> FeatureVerdict:
    """Name the values that were never seen, where the column alerts."""
    named = column.unseen.sentence
    return _with_note(stats, named) if stats.verdict == "alert" else stats


def _with_note(stats: FeatureVerdict, note: str) -> FeatureVerdict:
    return replace(stats, reason=f"{stats.reason}; {note}") if note else stats


def _not_compared(column: ComparedColumn, monitor: Monitor) -> FeatureVerdict:
    """Return the verdict on a column without counts: the missing rate alone can alert."""
    before = column.reference_scan.missing_rate if column.reference_scan else None
    now = column.current_scan.missing_rate if column.current_scan else None
    verdict: DriftVerdict = "not_computable"
    reason = why_not_compared(column)
    if before is not None and now is not None and now - before > monitor.max_missing:
        verdict, reason = "alert", f"missing rate rose from {before:.1%} to {now:.1%}; {reason}"
    # FeatureVerdict.kind is the kind of statistics; there are none here.
    return FeatureVerdict(
        column.name, "number", verdict, reason, drifted=None, missing_reference=before, missing_current=now
    )


def _with_role(result: ColumnResult, config: ModelConfig | None) -> ColumnResult:
    """Return the result with the column's role in model.yaml appended to the reason."""
    role = role_in_model(result.name, config)
    if not role:
        return result
    return replace(result, stats=replace(result.stats, reason=f"{result.stats.reason}; {role}"))


def _schema(
    findings: Sequence[SchemaFinding], report: DriftReport, results: Sequence[ColumnResult]
) -> tuple[SchemaFinding, ...]:
    """Return the findings on the tables' columns, those of the report, and alerts on missing values."""
    known = {(finding.column, finding.kind) for finding in findings}
    absent = {finding.column for finding in findings if finding.kind == "missing"}
    of_report = [replace(each, column=each.column.removeprefix(COLUMN_PREFIX)) for each in report.schema]
    return (
        *findings,
        *(each for each in of_report if each.column not in absent and (each.column, each.kind) not in known),
        *(
            SchemaFinding(result.name, "missing_rate", result.stats.reason, "warning")
            for result in results
            if result.verdict == "alert" and result.stats.p_value is None and result.reference is None
        ),
    )


def _first_names(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
