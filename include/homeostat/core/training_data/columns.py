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

#: Text that a CSV or a spreadsheet writes for a missing number.
MISSING_WORDS = frozenset({"", "nan", "na", "n/a", "null", "none"})
#: scikit-learn's trees use 32-bit floats and refuse a matrix with a larger number.
MAX_NUMBER = float(np.finfo(np.float32).max)
_INT64 = 2**63


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A typed column, and for each fault (such as ``mistyped``) a mask of its rows.

    ``column`` is missing wherever a fault is marked. ``received`` are the texts of a category under the first
    spelling, where any of them differ: versions of release 0.1 were trained on those.
    """

    column: pd.Series
    faults: dict[str, np.ndarray]
    received: pd.Series | None = None


def as_number(column: pd.Series) -> TypedColumn:
    """Read a column as float64; blank, None and NaN are missing, which is not a fault.

    Text that is a number is read as one (a single bad cell makes a CSV reader return the whole column as
    text). Infinities, integers beyond 64 bits and magnitudes beyond 32-bit floats are faults.
    """
    column = without_categorical(column)
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
    return TypedColumn(pd.Series(values, index=column.index, name=column.name), with_rows(faults))


def as_time(column: pd.Series) -> TypedColumn:
    """Read a column as UTC instants (microseconds); a time without a zone is taken as UTC.

    Bare numbers are faults: they could be seconds or milliseconds.
    """
    column = without_categorical(column)
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
    return TypedColumn(utc, with_rows({"mistyped": utc.isna().to_numpy()}))


def without_categorical(column: pd.Series) -> pd.Series:
    """Convert pandas' categorical dtype to the dtype of its categories."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(column.cat.categories.dtype if column.notna().all() else object)
    return column


def _floats(column: pd.Series) -> np.ndarray:
    values: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return values


def _objects(column: pd.Series) -> list[Any]:
    return column.astype(object).tolist()


def with_rows(faults: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the faults that any row has."""
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
    if text.lower() in MISSING_WORDS:
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


def _iso_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, (datetime, date)) and value is not pd.NaT else None
