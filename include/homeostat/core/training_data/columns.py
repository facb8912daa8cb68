"""Turn a raw column into a typed column, and mark the cells that do not fit the type."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.date_format import EPOCH_UNITS, from_epoch
from homeostat.core.training_data.text_cells import numbers_of, seconds_of, whole_texts
from homeostat.core.values.short_floats import floats_of
from homeostat.core.values.time_numbers import seconds_in

#: scikit-learn's trees use 32-bit floats and refuse a matrix with a larger number.
MAX_NUMBER = float(np.finfo(np.float32).max)
_INT64 = 2**63
_LAST_SECOND = 253_402_300_800.0  # 10000-01-01


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A typed column, and for each fault (such as ``mistyped``) a mask of its rows.

    ``column`` is missing wherever a fault is marked. ``received`` are the texts of a category under the first
    spelling, where any of them differ: versions of release 0.1 were trained on those. ``note`` says how
    text was read, if that needs telling.
    """

    column: pd.Series
    faults: dict[str, np.ndarray]
    received: pd.Series | None = None
    note: str = ""


def as_number(column: pd.Series) -> TypedColumn:
    """Read a column as float64; blank, None, NaN and words for "missing" are missing, which is not a fault.

    Text is read in the spelling of the column (:mod:`homeostat.core.values.numbers`), as ``homeostat drift``
    does; durations and times of day are seconds. Infinities, integers beyond 64 bits and magnitudes beyond
    32-bit floats are faults.
    """
    column = without_categorical(column)
    kind, note = column.dtype.kind, ""
    if kind in "biuf":
        values = floats_of(column)
        mistyped = huge = np.zeros(len(values), dtype=bool)
        if kind == "u":
            huge = (column >= np.uint64(_INT64)).to_numpy(dtype=bool, na_value=False)
    elif kind == "m":
        values = column.dt.total_seconds().to_numpy(dtype=np.float64)
        mistyped = huge = np.zeros(len(values), dtype=bool)
    elif kind in "Mc":
        values = np.full(len(column), np.nan)
        mistyped, huge = column.notna().to_numpy(), np.zeros(len(column), dtype=bool)
    else:
        text, others = _texts_and_others(column)
        cells = numbers_of(text)
        values, mistyped, huge, note = cells.numbers, cells.mistyped, cells.too_large, cells.note
        for at, value in others.items():
            values[at], fault = _number(value)
            mistyped[at], huge[at] = fault == "mistyped", fault == "too_large"
    infinite = np.isinf(values) & ~huge
    huge = huge | (np.isfinite(values) & (np.abs(values) > MAX_NUMBER))
    faults = {"mistyped": mistyped, "infinite": infinite, "too_large": huge}
    values = np.where(mistyped | infinite | huge, np.nan, values)
    return TypedColumn(pd.Series(values, index=column.index, name=column.name), with_rows(faults), note=note)


def as_time(column: pd.Series, date_format: str | None = None) -> TypedColumn:
    """Read a column as UTC instants (microseconds); a time without a zone is taken as UTC.

    Parameters
    ----------
    date_format
        ``schema.timestamp_format``: a format of ``strptime``, or the unit in which numbers count from 1970.
        Without it text is read by the formats of :mod:`homeostat.core.values.dates`; dates whose day and
        month cannot be told apart are faults, ``ambiguous``, and bare numbers are faults: they could be
        seconds or milliseconds.
    """
    column = without_categorical(column)
    faults, note = {}, ""
    if column.dtype.kind == "M":
        utc = column.dt.tz_localize("UTC") if column.dt.tz is None else column.dt.tz_convert("UTC")
    elif isinstance(column.dtype, pd.StringDtype) or column.dtype.kind == "O":
        text = column if column.dtype.kind != "O" else column.map(_time_text, na_action="ignore")
        cells = seconds_of(text, date_format or "")
        utc, faults, note = _instants(cells.numbers), {"ambiguous": cells.ambiguous}, cells.note
    elif column.dtype.kind in "iuf" and date_format in EPOCH_UNITS:
        utc = _instants(from_epoch(floats_of(column), date_format))
    elif column.dtype.kind in "iuf" and date_format:
        utc = _instants(seconds_of(whole_texts(column), date_format).numbers)
    else:
        utc = pd.Series(pd.NaT, index=range(len(column)), dtype="datetime64[us, UTC]")
    utc = utc.astype("datetime64[us, UTC]").set_axis(column.index).rename(column.name)
    unread = utc.isna().to_numpy() & ~faults.get("ambiguous", np.zeros(len(utc), dtype=bool))
    return TypedColumn(utc, with_rows({"mistyped": unread, **faults}), note=note)


def _instants(seconds: np.ndarray) -> pd.Series:
    """Return seconds since 1970 as instants; NaT for NaN and beyond the year 9999."""
    known = np.abs(seconds) < _LAST_SECOND
    micros = np.where(known, np.round(np.where(known, seconds, 0) * 1e6), 0).astype(np.int64)
    instants = np.where(known, micros.astype("M8[us]"), np.datetime64("NaT"))
    return pd.Series(instants.astype("M8[us]")).dt.tz_localize("UTC")


def _time_text(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    return value.isoformat() if isinstance(value, (datetime, date)) else None


def without_categorical(column: pd.Series) -> pd.Series:
    """Convert pandas' categorical dtype to the dtype of its categories."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.astype(column.cat.categories.dtype if column.notna().all() else object)
    return column


def _texts_and_others(column: pd.Series) -> tuple[pd.Series, dict[int, Any]]:
    """Return the column's texts, missing where there is none, and other values by their position."""
    if isinstance(column.dtype, pd.StringDtype):
        return column, {}
    values = _objects(column)
    others = {
        at: value for at, value in enumerate(values) if value is not None and not isinstance(value, str)
    }
    return pd.Series([value if isinstance(value, str) else None for value in values], dtype=object), others


def _objects(column: pd.Series) -> list[Any]:
    return column.astype(object).tolist()


def with_rows(faults: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the faults that any row has."""
    return {name: mask for name, mask in faults.items() if mask.any()}


def _number(value: Any) -> tuple[float, str]:
    if value is None or value is pd.NaT or value is pd.NA:
        return math.nan, ""
    if isinstance(value, (bool, np.bool_, int, float, np.integer, np.floating)):
        if isinstance(value, (int, np.integer)) and not -_INT64 <= int(value) < _INT64:
            return math.nan, "too_large"
        short = isinstance(value, np.floating) and value.itemsize < 8
        return float(str(value) if short else value), ""
    if isinstance(value, (time, timedelta)):
        return seconds_in(value), ""
    if isinstance(value, Number) and not isinstance(value, complex):
        return _read_float(float, value)
    return math.nan, "mistyped"


def _read_float(read: Callable[[Any], float], value: Any) -> tuple[float, str]:
    try:
        return read(value), ""
    except OverflowError:
        return math.nan, "too_large"
    except (TypeError, ValueError):
        return math.nan, "mistyped"
