"""Turn raw rows into typed rows; rows that cannot be typed are quarantined with their reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.config.label_text import received_name
from homeostat.config.near_name import near_name
from homeostat.core.training_data.categories import as_category, as_label
from homeostat.core.training_data.columns import TypedColumn, as_number, as_time
from homeostat.core.training_data.file_cells import OTHER_COLUMNS
from homeostat.core.training_data.quarantine_causes import REASON, fault_detail, fault_reason, shortened
from homeostat.core.values.similar_texts import similar_note, similar_texts


@dataclass(frozen=True, slots=True)
class DataFinding:
    """A finding about a column, with the number of affected rows."""

    column: str
    # mistyped | ambiguous | infinite | too_large | unknown_class | extra | absent | unlabelled | read_as |
    # similar
    kind: str
    rows: int
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CoercedRows:
    """Rows typed as model.yaml describes them, and quarantined rows.

    ``rows`` has the timestamp (UTC), the key (text), the features in the order of model.yaml (float64
    or text, NaN where missing) and, if requested, the label; then, for versions of release 0.1, the
    categories as received (see :func:`~homeostat.config.label_text.received_name`). ``quarantined`` has the
    same columns as they were found (as text where a column mixes types) and :data:`REASON`;
    ``quarantined_at`` are their times (UTC), NaT where they have none.
    """

    rows: pd.DataFrame
    quarantined: pd.DataFrame
    findings: tuple[DataFinding, ...]
    quarantined_at: pd.Series


def coerce_rows(frame: pd.DataFrame, config: ModelConfig, *, label: bool = False) -> CoercedRows:
    """Type every column that model.yaml names and quarantine the rows that do not fit.

    A row is quarantined for text that is not a number, an infinity, an integer beyond 64 bits, an invalid
    timestamp, or a label that ``schema.label.classes`` does not list. A missing value in a feature is data.
    Extra columns are dropped and reported; an absent feature with ``required: false``, or an absent key, is
    missing in every row and reported. With ``label``, rows without a label are dropped and counted, not
    quarantined.

    Raises
    ------
    DataError
        A required column is missing, or a column name occurs twice.
    """
    wanted = _wanted(config, label=label)
    findings = list(_column_findings(frame, config, wanted))
    frame = frame.reset_index(drop=True)
    typed: dict[str, pd.Series] = {}
    received: dict[str, pd.Series] = {}
    reasons = np.full(len(frame), "", dtype=object)
    for name in wanted:
        raw = frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object, name=name)
        column = _read(raw, name, config)
        typed[name] = column.column
        if column.received is not None and name in config.columns.features:
            received[received_name(name)] = column.received
        if column.note:
            findings.append(DataFinding(name, "read_as", len(frame), column.note))
        findings += _similar_values(name, column.column, config)
        for fault, mask in column.faults.items():
            detail = fault_detail(fault, raw[mask])
            findings.append(DataFinding(name, fault, int(mask.sum()), detail))
            reason = fault_reason(name, fault)
            reasons[mask] = [f"{old}; {reason}" if old else reason for old in reasons[mask]]
    rows = pd.DataFrame(typed | received, index=frame.index)
    bad = reasons != ""
    quarantined = _as_found(frame, wanted, bad, reasons)
    quarantined_at = typed[config.columns.timestamp][bad].reset_index(drop=True)
    keep = ~bad
    if label:
        unlabelled = keep & rows[config.columns.label.name].isna().to_numpy()
        if unlabelled.any():
            detail = "no label yet: dropped, not quarantined"
            findings.append(
                DataFinding(config.columns.label.name, "unlabelled", int(unlabelled.sum()), detail)
            )
            keep &= ~unlabelled
    rows = rows[keep].reset_index(drop=True)
    if label:
        name = config.columns.label.name
        rows[name] = as_label(rows[name], config.task, config.columns.label).column
    return CoercedRows(rows, quarantined, tuple(findings), quarantined_at)


def _wanted(config: ModelConfig, *, label: bool) -> list[str]:
    columns = config.columns
    names = [columns.timestamp, *([columns.key] if columns.key else []), *columns.features]
    return list(dict.fromkeys([*names, columns.label.name] if label else names))


def _read(raw: pd.Series, name: str, config: ModelConfig) -> TypedColumn:
    columns = config.columns
    if name == columns.timestamp:
        return as_time(raw, columns.timestamp_format)
    if name == columns.label.name:
        return as_label(raw, config.task, columns.label)
    feature = columns.features.get(name)
    if feature is not None and feature.type == "number":
        return as_number(raw)
    return as_category(raw, listed=(feature.categories or ()) if feature is not None else ())


def _similar_values(name: str, column: pd.Series, config: ModelConfig) -> list[DataFinding]:
    """Return the classes, or categories of a feature, that differ only in case or blanks."""
    if name not in (config.columns.label.name, *config.columns.features) or column.dtype.kind in "biufM":
        return []
    texts = [text for text in column.dropna().unique() if isinstance(text, str)]
    is_label = name == config.columns.label.name
    note = similar_note(
        texts, "write them alike" + (", or map them in schema.label.mapping" if is_label else "")
    )
    rows = int(column.isin([text for group in similar_texts(texts) for text in group]).sum()) if note else 0
    return [DataFinding(name, "similar", rows, note)] if note else []


def _column_findings(frame: pd.DataFrame, config: ModelConfig, wanted: list[str]) -> Iterable[DataFinding]:
    doubled = frame.columns[frame.columns.duplicated()].intersection(wanted)
    if len(doubled):
        msg = f"{config.name}: the data has two columns named '{doubled[0]}': keep one of them"
        raise DataError(msg)
    features = config.columns.features
    absent = [name for name in wanted if name not in frame]
    optional = [n for n in absent if (n in features and not features[n].required) or n == config.columns.key]
    extra = [str(name) for name in frame.columns if name not in wanted]
    missing = [name for name in absent if name not in optional or _required(name, config)]
    if missing:
        others = [*extra, *frame.attrs.get(OTHER_COLUMNS, [])]
        raise DataError(_missing_columns(config, missing, others))
    for name in optional:
        yield DataFinding(name, "absent", len(frame), "not in the data: missing in every row")
    for name in extra:
        if name != config.columns.label.name:
            yield DataFinding(name, "extra", len(frame), "not in model.yaml: dropped")


def _required(name: str, config: ModelConfig) -> bool:
    return name in config.columns.features and config.columns.features[name].required


def _missing_columns(config: ModelConfig, missing: list[str], others: list[str]) -> str:
    near = {name: near_name(name, others) for name in missing}
    shown = ", ".join(f"'{n}'" + (f" (is it '{near[n]}' now?)" if near[n] else "") for n in missing)
    fix = "rename the column in the source, or change 'schema' in model.yaml"
    if any(name in config.columns.features for name in missing):
        fix += ", or write 'required: false' at a feature that may be absent"
    return f"{config.name}: missing from the data: {shown}; {fix}"


def _as_found(frame: pd.DataFrame, wanted: list[str], bad: np.ndarray, reasons: np.ndarray) -> pd.DataFrame:
    """Return the bad rows as they were read; columns of mixed types as text, for any file format."""
    found = frame.loc[bad, [name for name in wanted if name in frame]].reset_index(drop=True)
    columns = {
        f"{REASON} (column)" if name == REASON else name: _as_text(column)
        if column.dtype.kind == "O"
        else column
        for name, column in found.items()
    }
    # All columns in one step: pandas warns of a frame that was widened one by one.
    return pd.DataFrame(columns | {REASON: pd.Series(reasons[bad], dtype="str")}, index=found.index)


def _as_text(column: pd.Series) -> pd.Series:
    return pd.Series([None if _missing(value) else shortened(value, 200) for value in column], dtype="str")


def _missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))
