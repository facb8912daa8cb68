"""Compare the columns of two tables: missing and new columns, and values of another type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeostat.adapters.engines.table import EngineTable
from homeostat.adapters.tables import Table
from homeostat.cli.commands.drift_columns import ComparedColumn
from homeostat.config import ModelConfig
from homeostat.config.model import Feature
from homeostat.config.near_name import near_name
from homeostat.core.drift import SchemaFinding
from homeostat.core.drift.report import Severity
from homeostat.core.profile.infer import value_families

AnyTable = Table | EngineTable


def compare_schemas(
    columns: Sequence[ComparedColumn],
    reference: AnyTable,
    current: AnyTable,
    config: ModelConfig | None,
) -> list[SchemaFinding]:
    """Return findings in the order of the reference, or of model.yaml when there is one, then new columns."""
    features = config.columns.features if config else None
    own = {config.columns.timestamp, config.columns.key, config.columns.label.name} if config else set()
    new = [name for name in current.names if name not in reference.types and name not in own]
    if features is None:
        unexpected = [SchemaFinding(name, "new", "the reference does not have it", "info") for name in new]
    else:
        extra = [name for name in current.names if name not in features and name not in own]
        unexpected = [SchemaFinding(name, "new", "not in model.yaml; ignored", "info") for name in extra]
    return [
        *_missing_columns(reference, current, new, features),
        *_retyped_columns(columns, reference, current),
        *unexpected,
    ]


def _missing_columns(
    reference: AnyTable,
    current: AnyTable,
    new: Sequence[str],
    features: Mapping[str, Feature] | None,
) -> list[SchemaFinding]:
    found = []
    for name in reference.names if features is None else features:
        severity: Severity = "critical" if features is None or features[name].required else "warning"
        if name not in current.types:
            near = near_name(name, new)
            hint = f"; renamed to '{near}'?" if near else ""
            found.append(SchemaFinding(name, "missing", f"the column is missing{hint}", severity))
        elif name not in reference.types:
            found.append(SchemaFinding(name, "missing", "the reference does not have this column", severity))
    return found


def _retyped_columns(
    columns: Sequence[ComparedColumn], reference: AnyTable, current: AnyTable
) -> list[SchemaFinding]:
    return [
        finding
        for column in columns
        if column.name in reference.types and column.name in current.types
        if (finding := _retyped(column, reference.types[column.name], current.types[column.name]))
    ]


def _retyped(column: ComparedColumn, was: str, now: str) -> SchemaFinding | None:
    """Return a finding when the values have another type, or another type that reads the same."""
    if column.reference_scan is None or column.current_scan is None:
        return None
    before, after = value_families(column.reference_scan, column.current_scan)
    if before and after and before != after:
        types = "" if was == now or "text" in (was, now) else f" ({was}, {now})"
        detail = f"{before} in the reference, {after} now{types}"
        return SchemaFinding(column.name, "retyped", detail, "critical")
    texts = [kind in ("string", "large_string", "string_view") for kind in (was, now)]
    if before and before == after != "text" and texts[0] != texts[1] and "text" not in (was, now):
        detail = f"{was} in the reference, {now} now; both read as {after}"
        return SchemaFinding(column.name, "retyped", detail, "info")
    return None
