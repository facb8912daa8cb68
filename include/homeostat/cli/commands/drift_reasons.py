"""Reasons in a comparison of two tables, as sentences."""

from __future__ import annotations

from homeostat.cli.commands.drift_columns import ComparedColumn
from homeostat.cli.commands.drift_result import COLUMN_PREFIX, RowCounts
from homeostat.config import ModelConfig
from homeostat.config.model import Monitor
from homeostat.core.drift import DriftReport
from homeostat.core.profile.infer import ColumnKind


def why_not_compared(column: ComparedColumn) -> str:
    """Return why a column's distributions were not compared."""
    if column.reference_scan is None:
        return "the reference does not have this column"
    if column.current_scan is None:
        return "the current table does not have this column"
    scan = column.reference_scan
    reasons: dict[ColumnKind, str] = {
        "datetime": "advances with time like a timestamp: always different, not compared",
        "id": "most values are unique, as in ids and free text: there is no distribution to compare",
        "opaque": f"holds {scan.opaque}, which cannot be compared: extract its values into columns",
        "empty": f"the reference has no values: all {scan.rows} rows are missing" if scan.rows else "no rows",
        "number": "no rows",
        "category": "no rows",
    }
    if column.kind == "id" and scan.numbers > sum(scan.texts.values()):
        return "advances row by row like an id: always different, not compared"
    return reasons[column.kind]


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
