"""Reasons in a comparison of two tables, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeostat.cli.commands.drift_columns import ComparedColumn
from homeostat.cli.commands.drift_result import COLUMN_PREFIX, ColumnResult, RowCounts
from homeostat.config import ModelConfig
from homeostat.config.model import Monitor
from homeostat.core.drift import DriftReport
from homeostat.core.profile import FeatureKind
from homeostat.core.profile.infer import ColumnKind, restarts
from homeostat.core.profile.scan import ColumnScan
from homeostat.core.values.text_hints import are_codes, text_hint


def why_not_compared(column: ComparedColumn) -> str:
    """Return why a column's distributions were not compared."""
    if column.reference_scan is None:
        return "the reference does not have this column"
    if column.current_scan is None:
        return "the current table does not have this column"
    if column.ambiguous:
        return column.ambiguous
    scan = column.reference_scan
    reasons: dict[ColumnKind, str] = {
        "datetime": "advances with time like a timestamp: always different, not compared",
        "id": "most values are unique, as in ids, codes and free text: there is no distribution to compare",
        "opaque": _why_opaque(scan.opaque),
        "empty": f"the reference has no values: all {scan.rows} rows are missing" if scan.rows else "no rows",
        "number": "no rows",
        "category": "no rows",
    }
    if column.kind == "id":
        return _why_id(column, scan) or reasons["id"]
    return reasons[column.kind]


def _why_opaque(kind: str) -> str:
    if "binary" in kind:
        return "holds bytes that are not all text in UTF-8, which cannot be compared: write them as text"
    return f"holds {kind}, which cannot be compared: extract its values into columns"


def _why_id(column: ComparedColumn, scan: ColumnScan) -> str:
    """Return what is known of a column with unique values; empty for ids, codes and free text."""
    if column.read_as == "numbers":
        now = column.current_scan
        if now is not None and restarts(scan, now):
            first = int(scan.low)
            return f"numbers the rows of both tables from {first}: says only how many there are, not compared"
        return "numbers its rows like an id and goes on from the reference: always different, not compared"
    hint = text_hint(scan.texts)
    if hint:
        return f"most values are unique: there is no distribution to compare; {hint}"
    if not scan.number_cells or scan.code_cells or are_codes(scan.texts):
        return ""
    share = scan.number_cells / max(1, scan.text_cells)
    return (
        f"{share:.0%} of the values are numbers, the others words, and most are unique: there is no "
        "distribution to compare; correct the words, or give --config a model.yaml with this number"
    )


def without_dates_called_numbers(text: str, column: ComparedColumn) -> str:
    """Return a reason about values that are not numbers in the words that fit a column of dates."""
    if not column.dates:
        return text
    return text.replace("are not numbers", "are not dates").replace(
        "rows are not numbers", "rows are not dates"
    )


def role_in_model(name: str, config: ModelConfig | None) -> str:
    """Return why model.yaml excludes a column from the drifted share; empty without a model.yaml."""
    if config is None:
        return ""
    columns = config.columns
    roles = {columns.label.name: "the label", columns.timestamp: "the timestamp", columns.key: "the key"}
    if name not in roles:
        return "not in model.yaml, not counted in the drifted share"
    return f"{roles[name]} of model.yaml, not counted in the drifted share"


def data_set_reason(
    report: DriftReport, rows: RowCounts, monitor: Monitor, config: ModelConfig | None
) -> str:
    """Return the reason of the verdict on all columns."""
    reason = report.reason.replace(COLUMN_PREFIX, "")
    if config:
        return reason
    if not rows.current:
        return "the current table has no rows"
    if rows.current < monitor.min_rows:
        return f"the current table has {rows.current} rows; at least {monitor.min_rows} are needed"
    if not rows.reference:
        return "the reference has no rows"
    if report.drifted_share is None:
        return "no column can be compared"
    return reason.replace("features drifted", "columns drifted", 1)


def with_left_out(
    reason: str, report: DriftReport, results: Sequence[ColumnResult], wanted: Mapping[str, FeatureKind]
) -> str:
    """Return the reason with the number of columns that have no verdict, which it does not count or name."""
    named = set()
    if "could not be computed" in reason:
        named = {each.name.removeprefix(COLUMN_PREFIX) for each in report.features if each.drifted is None}
    left_out = [
        each.name
        for each in results
        if each.verdict == "not_computable" and each.name not in named and (not wanted or each.name in wanted)
    ]
    if not left_out or report.drifted_share is None:
        return reason
    return f"{reason}, {len(left_out)} without a verdict"
