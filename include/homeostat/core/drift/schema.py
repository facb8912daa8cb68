"""Check columns against the schema of model.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from homeostat.config.model import Feature, ModelConfig
from homeostat.config.near_name import near_name
from homeostat.core.drift.report import DriftReport, SchemaFinding, Severity
from homeostat.core.profile.coerce import as_labels, as_numbers, label_of

_NUMBERS = ("int", "uint", "float", "double", "bool", "decimal", "number")


def check_schema(columns_seen: Mapping[str, str] | pd.DataFrame, config: ModelConfig) -> list[SchemaFinding]:
    """Check columns against the schema of model.yaml.

    Parameters
    ----------
    columns_seen
        The rows themselves, or column names with their types (a pandas or Arrow type's name, or
        ``number`` and ``category``). New categories and missing values are found only in rows.

    Returns
    -------
    list of SchemaFinding
        In the order of model.yaml, then new columns. ``critical``: the model cannot use the rows.
    """
    features = config.columns.features
    own = {config.columns.timestamp, config.columns.key, config.columns.label.name}
    seen = list(columns_seen.columns) if isinstance(columns_seen, pd.DataFrame) else list(columns_seen)
    new = [str(name) for name in seen if name not in features and name not in own]
    found: list[SchemaFinding] = []
    for name, feature in features.items():
        if name not in seen:
            found.append(_missing_column(name, feature, new))
        elif isinstance(columns_seen, pd.DataFrame):
            found += _check_values(name, feature, columns_seen[name])
        elif feature.type == "number" and not columns_seen[name].lower().startswith(_NUMBERS):
            found.append(
                SchemaFinding(name, "retyped", f"number expected, {columns_seen[name]} found", "critical")
            )
    return found + _new_columns(new)


def schema_findings(report: DriftReport, *, extra: Iterable[str], config: ModelConfig) -> list[SchemaFinding]:
    """Return the schema findings without the rows: those of a report, and extra columns.

    A required feature that is missing in every row of the window, but not in the reference, has probably
    lost its column: it is reported as missing, with the extra column of the most similar name.
    """
    new = sorted(name for name in set(extra) if name not in config.columns.features)
    found: list[SchemaFinding] = []
    for finding in report.schema:
        feature = config.columns.features.get(finding.column)
        if feature is not None and finding.kind == "missing_rate" and finding.severity == "critical":
            found.append(_missing_column(finding.column, feature, new))
        else:
            found.append(finding)
    return found + _new_columns(new)


def _new_columns(names: Iterable[str]) -> list[SchemaFinding]:
    return [SchemaFinding(name, "new", "not in model.yaml; ignored", "info") for name in names]


def _missing_column(name: str, feature: Feature, new: list[str]) -> SchemaFinding:
    near = near_name(name, new)
    hint = f"; renamed to '{near}'?" if near else ""
    return SchemaFinding(name, "missing", f"the column is missing{hint}", _severity(feature))


def _severity(feature: Feature) -> Severity:
    return "critical" if feature.required else "warning"


def _check_values(name: str, feature: Feature, column: pd.Series) -> list[SchemaFinding]:
    rows, missing = len(column), int(column.isna().sum())
    if rows and missing == rows:
        return [SchemaFinding(name, "missing_rate", f"all {rows} rows are missing", _severity(feature))]
    if feature.type == "number":
        _, not_numbers = as_numbers(column)
        if not not_numbers:
            return []
        detail = f"number expected, {not_numbers} of {rows - missing} values are not numbers ({column.dtype})"
        severity: Severity = "critical" if not_numbers * 2 >= rows - missing else "warning"
        return [SchemaFinding(name, "retyped", detail, severity)]
    if feature.categories is None:
        return []
    known = {label_of(category) for category in feature.categories}
    per_label, labels, _ = as_labels(column)
    new = {label: n for label, n in zip(labels, per_label.tolist(), strict=True) if label not in known}
    if not new:
        return []
    shown = ", ".join(repr(label) for label in list(new)[:5]) + (", ..." if len(new) > 5 else "")
    detail = f"{shown} in {sum(new.values())} of {rows} rows; model.yaml does not list it"
    return [SchemaFinding(name, "new_category", detail, "warning")]
