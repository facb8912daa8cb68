"""Read any pandas column as numbers or as labels; missing values and values of neither kind are separate."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from homeostat.config.label_text import SPELLING, label_text
from homeostat.core.values.short_floats import floats_of
from homeostat.core.values.time_numbers import seconds_in

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_EPOCH = dt.date(1970, 1, 1).toordinal()

#: A label is cut to this many UTF-8 bytes (digest included), which bounds the size of a profile.
MAX_LABEL_BYTES = 40


def as_numbers(column: pd.Series) -> tuple[Floats, int]:
    """Return the column's numbers, and how many of its values are not numbers.

    Returns
    -------
    numbers
        float64, NaN where a value is missing; values that are not numbers are left out, because NaN would
        count them as missing. Booleans are 0 and 1, infinities stay. Instants are seconds since 1970 in
        UTC (naive ones are taken as UTC); durations and times of day are seconds; periods are ordinals.
    not_numbers
        How many values were left out: text that does not parse, containers, complex numbers.
    """
    numbers, unread = read_numbers(column)
    return (numbers[~unread], int(unread.sum())) if unread.any() else (numbers, 0)


def read_numbers(column: pd.Series) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the number of each row, NaN where there is none, and the rows whose value is not a number.

    See :func:`as_numbers`. Shapes: (n,).
    """
    kind = getattr(column.dtype, "kind", "O")
    none = np.zeros(len(column), dtype=bool)
    if isinstance(column.dtype, np.dtype | pd.DatetimeTZDtype) and kind in "Mm":
        return _seconds(column), none
    if isinstance(column.dtype, pd.CategoricalDtype) or kind in "Mmc":
        column, kind = column.astype(object), "O"
    if isinstance(column.dtype, pd.PeriodDtype):  # pandas before 3.1 calls them no numbers
        return np.where(column.isna(), np.nan, column.array.asi8.astype(np.float64)), none
    if kind in "biuf":
        return floats_of(column), none
    present = column.notna().to_numpy(dtype=bool)
    numbers = _parse(column)
    unparsed = np.isnan(numbers) & present
    if unparsed.any() and not isinstance(column.dtype, pd.StringDtype) and kind != "U":
        numbers[unparsed] = [_instant(value) for value in column[unparsed]]
        unparsed = np.isnan(numbers) & present
    return numbers, unparsed


def _seconds(column: pd.Series) -> Floats:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    values = column.to_numpy()
    steps = values.view(np.int64)
    per_second = _PER_SECOND[np.datetime_data(values.dtype)[0]]
    seconds = steps / per_second
    if per_second == _PER_SECOND["ns"]:
        # Beyond 2**53 no float holds the nanoseconds, and the same instant in microseconds would differ.
        seconds = np.where(np.abs(steps) < 2**53, seconds, steps // 1000 / _PER_SECOND["us"])
    seconds[np.isnat(values)] = np.nan
    return np.asarray(seconds)


def _parse(column: pd.Series) -> Floats:
    try:
        parsed = np.asarray(pd.to_numeric(column, errors="coerce"))
        if parsed.dtype.kind != "c":
            return np.array(parsed, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        pass
    # Containers, mixed types or integers beyond 64 bits: value by value, which is slow but rare.
    return np.fromiter((_number(value) for value in column), dtype=np.float64, count=len(column))


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond float64 is far out, on its own side
        return np.inf if value > 0 else -np.inf
    except (TypeError, ValueError):
        return np.nan


def _instant(value: Any) -> float:
    """Return a date, instant, duration or time of day in seconds, as :func:`_seconds` does for columns."""
    if isinstance(value, np.datetime64 | np.timedelta64):
        return float(value.astype(f"{value.dtype.kind}8[us]").astype(np.int64)) / 1e6
    if isinstance(value, dt.datetime):  # a pandas Timestamp is one
        return (value if value.tzinfo else value.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(value, dt.date):
        return float(value.toordinal() - _EPOCH) * 86_400
    return seconds_in(value) if isinstance(value, dt.timedelta | dt.time) else np.nan


def as_labels(column: pd.Series, spelling: int = SPELLING) -> tuple[Ints, list[str], int]:
    """Return the column's distinct labels with their counts, in order of appearance.

    Returns
    -------
    counts, labels, missing
        ``counts[i]`` rows hold ``labels[i]``, spelled by these rules of :mod:`homeostat.config.label_text`;
        None, NaN, NaT, NA and empty text are missing.
    """
    codes, values = _factorize(column, spelling)
    per_code = np.bincount(codes[codes >= 0], minlength=len(values))
    missing = int((codes < 0).sum())
    by_label: dict[str, int] = {}
    for value, rows in zip(values, per_code.tolist(), strict=True):
        label = label_of(value, spelling)
        if label is None:
            missing += rows
        else:
            by_label[label] = by_label.get(label, 0) + rows
    return np.fromiter(by_label.values(), dtype=np.int64, count=len(by_label)), list(by_label), missing


def place_of_each(column: pd.Series, labels: Sequence[str], spelling: int = SPELLING) -> Ints:
    """Return the place of each row's label in ``labels``, shape (n,); -1 for others and missing ones."""
    codes, distinct = codes_of_labels(column, spelling)
    places = {label: place for place, label in enumerate(labels)}
    found = [places.get(label or "", -1) for label in distinct]
    return np.array([*found, -1], dtype=np.int64)[codes]  # the code of a missing value is -1, the last


def codes_of_labels(column: pd.Series, spelling: int = SPELLING) -> tuple[Ints, list[str | None]]:
    """Return the code of each row, shape (n,), -1 where pandas finds no value, and the label of each code.

    Two codes may have the same label, and that of a value may be None, which is missing too.
    """
    codes, values = _factorize(column, spelling)
    return codes, [label_of(value, spelling) for value in values]


def _factorize(column: pd.Series, spelling: int) -> tuple[Ints, list[Any]]:
    """Return the code of each row, -1 for a missing value, and the distinct values by code."""
    try:
        codes, uniques = pd.factorize(column)
    except (TypeError, NotImplementedError):  # lists and dictionaries cannot be hashed
        # As Python's own values: an Arrow column maps its lists as arrays.
        objects = pd.Series(list(column), dtype=object)
        codes, uniques = pd.factorize(
            objects.map(lambda value: label_of(value, spelling), na_action="ignore")
        )
    is_float = uniques.dtype.kind == "f"
    return codes, list(np.asarray(uniques)) if is_float else uniques.tolist()  # float32 stays float32


def label_of(value: Any, spelling: int = SPELLING) -> str | None:
    """Return a category as text, None when it is missing; long text keeps its beginning and a digest."""
    try:
        text = label_text(value, spelling)
    except OverflowError:  # an integer beyond float64
        text = str(value)
    if text is None:
        return None
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= MAX_LABEL_BYTES:
        return raw.decode()
    suffix = hashlib.blake2b(raw, digest_size=6).hexdigest()
    return raw[: MAX_LABEL_BYTES - 15].decode(errors="ignore") + "…" + suffix


def hash_of(label: str) -> int:
    """Return a 32-bit hash of a label: stable between processes, releases and machines."""
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=4).digest(), "big")
