"""Raw rows into typed rows; what cannot be typed is set aside with its reason, and counted."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.training_data.columns import Cells, as_category, as_label, as_number, as_time

#: Name of the column that says why a row was set aside.
REASON = "reason"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a column that a person may want to know, with the number of rows it touches."""

    column: str
    kind: str  # mistyped | infinite | too_large | extra | absent | unlabelled
    rows: int
    detail: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Conformed:
    """Rows as model.yaml describes them, and the rows that cannot be.

    ``rows`` has the timestamp (UTC), the key (text), the features in the order of model.yaml (float64
    or text, NaN where missing) and, where asked for, the label. ``quarantined`` has the same columns
    as they were found (as text where a column mixes types) and :data:`REASON`.
    """

    rows: pd.DataFrame
    quarantined: pd.DataFrame
    findings: tuple[Finding, ...]


def conform(frame: pd.DataFrame, config: ModelConfig, *, label: bool = False) -> Conformed:
    """Type every column that model.yaml names and set aside the rows that do not fit.

    A number that is text, an infinity, an integer beyond 64 bits and a timestamp that is none put
    their row in quarantine. A missing value in a feature is data. Extra columns are dropped and
    reported; an absent feature with ``required: false``, or an absent key, is all missing and
    reported. With ``label``, rows whose label is missing are dropped and counted: they are not bad,
    their truth is just not known.

    Raises
    ------
    DataError
        A required column is not there, or stands there twice.
    """
    wanted = _wanted(config, label=label)
    findings = list(_absences(frame, config, wanted))
    frame = frame.reset_index(drop=True)
    typed: dict[str, pd.Series] = {}
    reasons = np.full(len(frame), "", dtype=object)
    for name in wanted:
        raw = frame[name] if name in frame else pd.Series(None, index=frame.index, dtype=object, name=name)
        cells = _read(raw, name, config)
        typed[name] = cells.column
        for fault, mask in cells.faults.items():
            shown = raw[mask].iloc[0]
            detail = f"{_FAULTS[fault]}, for example {_short(shown)}"
            findings.append(Finding(name, fault, int(mask.sum()), detail))
            reasons[mask] = [
                f"{old}; {name}: {fault}" if old else f"{name}: {fault}" for old in reasons[mask]
            ]
    rows = pd.DataFrame(typed, index=frame.index)
    bad = reasons != ""
    quarantined = _as_found(frame, wanted, bad, reasons)
    keep = ~bad
    if label:
        unlabelled = keep & rows[config.columns.label.name].isna().to_numpy()
        if unlabelled.any():
            detail = "no label yet: dropped, not held against the data"
            findings.append(Finding(config.columns.label.name, "unlabelled", int(unlabelled.sum()), detail))
            keep &= ~unlabelled
    rows = rows[keep].reset_index(drop=True)
    if label:
        name = config.columns.label.name
        rows[name] = as_label(rows[name], config.task).column
    return Conformed(rows, quarantined, tuple(findings))


_FAULTS = {
    "mistyped": "not of the type that model.yaml gives",
    "infinite": "infinite",
    "too_large": "too large for a 64-bit integer or a 32-bit float",
}


def _wanted(config: ModelConfig, *, label: bool) -> list[str]:
    columns = config.columns
    names = [columns.timestamp, *([columns.key] if columns.key else []), *columns.features]
    return list(dict.fromkeys([*names, columns.label.name] if label else names))


def _read(raw: pd.Series, name: str, config: ModelConfig) -> Cells:
    columns = config.columns
    if name == columns.timestamp:
        return as_time(raw)
    if name == columns.label.name:
        return as_label(raw, config.task)
    if name in columns.features and columns.features[name].type == "number":
        return as_number(raw)
    return as_category(raw)


def _absences(frame: pd.DataFrame, config: ModelConfig, wanted: list[str]) -> Iterable[Finding]:
    doubled = frame.columns[frame.columns.duplicated()].intersection(wanted)
    if len(doubled):
        msg = f"{config.name}: the column '{doubled[0]}' stands twice in the data: keep one of them"
        raise DataError(msg)
    features = config.columns.features
    absent = [name for name in wanted if name not in frame]
    optional = [n for n in absent if (n in features and not features[n].required) or n == config.columns.key]
    extra = [str(name) for name in frame.columns if name not in wanted]
    gone = [name for name in absent if name not in optional or _required(name, config)]
    if gone:
        raise DataError(_gone(config, gone, extra))
    for name in optional:
        yield Finding(name, "absent", len(frame), "not in the data: taken as missing in every row")
    for name in extra:
        if name != config.columns.label.name:
            yield Finding(name, "extra", len(frame), "not in model.yaml: dropped")


def _required(name: str, config: ModelConfig) -> bool:
    return name in config.columns.features and config.columns.features[name].required


def _gone(config: ModelConfig, gone: list[str], extra: list[str]) -> str:
    near = {name: difflib.get_close_matches(name, extra, n=1, cutoff=0.6) for name in gone}
    shown = ", ".join(f"'{n}'" + (f" (is it '{near[n][0]}' now?)" if near[n] else "") for n in gone)
    cure = "rename the column in the source, or change 'schema' in model.yaml"
    if any(name in config.columns.features for name in gone):
        cure += ", or write 'required: false' at a feature that may be absent"
    return f"{config.name}: missing from the data: {shown}; {cure}"


def _as_found(frame: pd.DataFrame, wanted: list[str], bad: np.ndarray, reasons: np.ndarray) -> pd.DataFrame:
    """The bad rows as they came; mixed columns as text, which any file format can hold."""
    found = frame.loc[bad, [name for name in wanted if name in frame]].reset_index(drop=True)
    for name in found.columns[[dtype.kind == "O" for dtype in found.dtypes]]:
        found[name] = pd.Series(
            [None if _missing(value) else _short(value, 200) for value in found[name]], dtype="str"
        )
    found = found.rename(columns={REASON: f"{REASON} (column)"})
    return found.assign(**{REASON: pd.Series(reasons[bad], dtype="str")})


def _missing(value: Any) -> bool:
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _short(value: Any, length: int = 40) -> str:
    try:
        text = repr(value) if isinstance(value, str) and length <= 40 else str(value)
    except ValueError:  # Python will not spell an integer of more than 4300 digits
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= length else text[: length - 3] + "..."
