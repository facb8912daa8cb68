"""Columns that one table has alone, or whose values are of another sort there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from homeostat.adapters.tables import Table
from homeostat.cli.commands.drift_columns import Column
from homeostat.config import ModelConfig
from homeostat.core.drift import SchemaFinding
from homeostat.core.drift.report import Severity
from homeostat.core.profile.infer import family


def schema_of(
    columns: Sequence[Column], reference: Table, current: Table, config: ModelConfig | None
) -> list[SchemaFinding]:
    """Findings in the order of the reference, or of model.yaml where there is one, then new columns."""
    features = config.columns.features if config else None
    own = {config.columns.timestamp, config.columns.key, config.columns.label.name} if config else set()
    there, new = set(current.names), [n for n in current.names if n not in reference.names and n not in own]
    asked = list(features) if features is not None else list(reference.names)
    found = []
    for name in asked:
        severity: Severity = "critical" if features is None or features[name].required else "warning"
        if name not in there:
            near = difflib.get_close_matches(name, new, n=1)
            hint = f"; renamed to '{near[0]}'?" if near else ""
            found.append(SchemaFinding(name, "missing", f"the column is not there{hint}", severity))
        elif name not in reference.names:
            found.append(SchemaFinding(name, "missing", "the reference does not have this column", severity))
    by_name = {column.name: column for column in columns}
    for name in [name for name in reference.names if name in there]:
        detail = _retyped(by_name[name], reference.types[name], current.types[name])
        if detail:
            found.append(SchemaFinding(name, "retyped", *detail))
    for name in new if features is None else [n for n in current.names if n not in features and n not in own]:
        what = (
            "the reference does not have it" if features is None else "not in model.yaml; it is passed over"
        )
        if not (features is not None and name in features):
            found.append(SchemaFinding(name, "new", what, "info"))
    return found


def _retyped(column: Column, was: str, now: str) -> tuple[str, Severity] | None:
    """Say when values are of another sort, or come as another type that reads the same."""
    if column.in_reference is None or column.in_current is None:
        return None
    before, after = family(column.in_reference), family(column.in_current)
    if before and after and before != after:
        return f"{before} in the reference, {after} now" + _types(was, now), "critical"
    texts = [kind in ("string", "large_string", "string_view") for kind in (was, now)]
    if before and before == after != "text" and texts[0] != texts[1] and "text" not in (was, now):
        return f"{was} in the reference, {now} now; both read as {after}", "info"
    return None


def _types(was: str, now: str) -> str:
    return "" if was == now or "text" in (was, now) else f" ({was}, {now})"
