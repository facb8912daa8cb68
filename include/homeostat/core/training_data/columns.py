"""Turn a raw column into a typed column, and mark the cells that do not fit the type."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.label_text import label_text
from homeostat.config.model import Label

#: Text that a CSV or a spreadsheet writes for a missing number.
_BLANK = frozenset({"", "nan", "na", "n/a", "null", "none"})
#: scikit-learn's trees use 32-bit floats and refuse a matrix with a larger number.
MAX_NUMBER = float(np.finfo(np.float32).max)
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A typed column, and for each fault (such as ``mistyped``) a mask of its rows.

    ``column`` is missing wherever a fault is marked.
    """

    column: pd.Series
    faults: dict[str, np.ndarray]


def as_number(column: pd.Series) -> TypedColumn:
    """Read a column as float64; blank, None and NaN are missing, which is not a fault.

    Text that is a number is read as one (a single bad cell makes a CSV reader return the whole column as
    text). Infinities, integers beyond 64 bits and magnitudes beyond 32-bit floats are faults.
    """
    column = _without_categorical(column)
    kind = column.dtype.kind
    if kind in "biuf":
        values = _floats(column)
        mistyped = huge = np.zeros(len(values), dtype=bool)
        if kind == "u":
            huge = (column >= np.uint64(_INT64)).to_numpy(dtype=bool, na_value=False)
    elif kind in "mMc":
        values = np.full(len(column), np.nan)
        mistyped, huge = column.notna().to_numpy(), np.zeros(len(column), dtype=bool)
    else:
        cells = [_number(value) for value in _objects(column)]
        values = np.array([value for value, _ in cells], dtype=np.float64)
        mistyped = np.array([fault == "mistyped" for _, fault in cells], dtype=bool)
        huge = np.array([fault == "too_large" for _, fault in cells], dtype=bool)
    infinite = np.isinf(values) & ~huge
    huge = huge | (np.isfinite(values) & (np.abs(values) > MAX_NUMBER))
    faults = {"mistyped": mistyped, "infinite": infinite, "too_large": huge}
    values = np.where(mistyped | infinite | huge, np.nan, values)
    return TypedColumn(pd.Series(values, index=column.index, name=column.name), _with_rows(faults))


def as_category(column: pd.Series) -> TypedColumn:
    """Read a column as text (``str`` dtype, NaN where missing), spelled by ``label_text``.

    Whole numbers lose their ``.0``: a column of integers comes back from a CSV or a database as
    floats as soon as one cell is missing, and category ``3`` must stay category ``3``.
    """
    column = _without_categorical(column)
    known = {value: _text(value) for value in column.unique()} if column.dtype.kind != "O" else None
    if known is not None:
        texts = column.map({value: text for value, (text, _) in known.items()}).astype("str")
        infinite = column.isin([value for value, (_, fault) in known.items() if fault]).to_numpy(dtype=bool)
        return TypedColumn(texts, _with_rows({"infinite": infinite}))
    cells = [_text(value) for value in _objects(column)]
    values = pd.Series([value for value, _ in cells], index=column.index, name=column.name, dtype="str")
    faults = {
        name: np.array([fault == name for _, fault in cells], dtype=bool)
        for name in ("mistyped", "infinite", "too_large")
    }
    return TypedColumn(values, _with_rows(faults))


def as_time(column: pd.Series) -> TypedColumn:
    """Read a column as UTC instants (microseconds); a time without a zone is taken as UTC.

    Bare numbers are faults: they could be seconds or milliseconds.
    """
    column = _without_categorical(column)
    if column.dtype.kind == "M":
        utc = column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
    elif isinstance(column.dtype, pd.StringDtype):
        utc = pd.to_datetime(column, errors="coerce", utc=True, format="ISO8601")
    elif column.dtype.kind == "O":
        text = [_iso_text(value) for value in column]
        utc = pd.to_datetime(
            pd.Series(text, index=column.index, dtype="str"), errors="coerce", utc=True, format="ISO8601"
        )
    else:
        utc = pd.Series(pd.NaT, index=column.index, dtype="datetime64[us, UTC]")
    utc = utc.astype("datetime64[us, UTC]").rename(column.name)
    return TypedColumn(utc, _with_rows({"mistyped": utc.isna().to_numpy()}))


def as_label(column: pd.Series, task: str, label: Label | None = None) -> TypedColumn:
    """Read the label: float64 for regression; for classes int64 where they are whole numbers, else as read.

    The type follows from the column's type, not from its text, so that two batches of one source agree.
    A missing label is missing, not a fault; an int64 column with missing labels stays float64. Where
    ``label`` has classes or a mapping, spellings become classes, the type follows from the classes, and a
    class that is not listed is a fault, ``unknown_class``.
    """
    column = _without_categorical(column)
    if label is not None and (label.classes or label.mapping):
        return _as_class(column, label)
    numeric = column.dtype.kind in "biuf" or (
        column.dtype.kind == "O" and all(isinstance(value, Number) for value in column.dropna())
    )
    if task != "regression" and not numeric:
        return as_category(column)
    cells = as_number(column)
    if task == "regression" or cells.column.isna().any():
        return cells
    whole = cells.column.to_numpy()
    if np.array_equal(whole, np.trunc(whole)) and np.all(np.abs(whole) < 2**53):
        return TypedColumn(cells.column.astype(np.int64), cells.faults)
    return cells


def _as_class(column: pd.Series, label: Label) -> TypedColumn:
    cells = as_category(column)
    meant = cells.column.map({text: label.to_class(text) for text in cells.column.dropna().unique()})
    faults = dict(cells.faults)
    if label.classes is not None:
        unknown = (meant.notna() & ~meant.isin(label.classes)).to_numpy(dtype=bool)
        meant = meant.mask(unknown)
        faults |= _with_rows({"unknown_class": unknown})
    named = label.classes or label.mapping.values()
    if meant.notna().all() and all(map(_is_whole, [*named, *meant.unique()])):
        return TypedColumn(meant.astype(np.int64), faults)
    return TypedColumn(meant.astype("str"), faults)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and len(text) < 16 and str(int(text)) == text


def _without_categorical(column: pd.Series) -> pd.Series:
    """Convert pandas' categorical dtype to the dtype of its categories."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(column.cat.categories.dtype if column.notna().all() else object)
    return column


def _floats(column: pd.Series) -> np.ndarray:
    values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _objects(column: pd.Series) -> list[Any]:
    return column.astype(object).tolist()


def _with_rows(faults: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: mask for name, mask in faults.items() if mask.any()}


def _number(value: Any) -> tuple[float, str]:
    if value is None or value is pd.NaT or value is pd.NA:
        return math.nan, ""
    if isinstance(value, str):
        return _number_from_text(value)
    if isinstance(value, (bool, np.bool_, int, float, np.integer, np.floating)):
        if isinstance(value, (int, np.integer)) and not -_INT64 <= int(value) < _INT64:
            return math.nan, "too_large"
        return float(value), ""
    if isinstance(value, Number) and not isinstance(value, complex):
        return _read_float(float, value)
    return math.nan, "mistyped"


def _number_from_text(text: str) -> tuple[float, str]:
    text = text.strip()
    if text.lower() in _BLANK:
        return math.nan, ""
    if "_" in text:  # Python accepts 1_000, other programs do not
        return math.nan, "mistyped"
    value, fault = _read_float(float, text)
    digits = text.lstrip("+-0")
    if not fault and digits.isdecimal() and (len(digits) > 19 or not -_INT64 <= int(text) < _INT64):
        return math.nan, "too_large"
    return value, fault


def _read_float(read: Callable[[Any], float], value: Any) -> tuple[float, str]:
    try:
        return read(value), ""
    except OverflowError:
        return math.nan, "too_large"
    except (TypeError, ValueError):
        return math.nan, "mistyped"


def _text(value: Any) -> tuple[str | None, str]:
    if value is pd.NaT or value is pd.NA:
        return None, ""
    if isinstance(value, (float, np.floating)) and math.isinf(value):
        return None, "infinite"
    if isinstance(value, (datetime, date)):
        return value.isoformat(), ""
    if value is None or isinstance(value, (str, bool, np.bool_, int, np.integer, float, np.floating)):
        try:
            return label_text(value), ""
        except OverflowError:
            return None, "too_large"
    return None, "mistyped"


def _iso_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, (datetime, date)) and value is not pd.NaT else None
