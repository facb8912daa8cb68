"""Read any Arrow array as numbers and texts: the result is the same for 1, 1.0, true and "1"."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.profile.coerce import Floats, Ints, label_of

#: Texts that mean a missing value, as CSV writers spell it.
MISSING_TEXTS = frozenset(
    [
        *("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "nan", "NaN", "-nan", "-NaN", "NaT"),
        *("null", "NULL", "None"),
    ]
)
#: Formats of dates; the first that fits the sample is taken.
DATE_FORMATS = (
    "ISO8601",
    *(f"{day}{time}" for day in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y") for time in ("", " %H:%M", " %H:%M:%S")),
)
_BOOLEANS = {"true": 1.0, "false": 0.0}
_LEADING_ZERO = r"^[+-]?0[0-9]"  # 007 is a code, not a seven
_SAMPLE = 200
_MIN_DATES = 0.9  # share of the sample; the others may be markers of missing values


@dataclass(frozen=True, slots=True)
class ArrowValues:
    """The values of an array.

    ``numbers`` in their order (dates as seconds since 1970 when ``dates``), ``texts`` with their rows,
    the rows without a value, and for containers the name of their type in ``opaque``.
    """

    numbers: Floats
    texts: dict[str, int]
    missing: int
    dates: bool = False
    opaque: str = ""


def read_values(array: pa.Array, date_format: str = "") -> ArrowValues:
    """Read an array.

    Numbers, decimals and durations are numbers, booleans are 1 and 0, dates and instants are seconds
    since 1970. Text that reads as a number is a number, unless it has a leading zero; ``true`` and
    ``false`` in any case are 1 and 0; with a ``date_format`` text is dates instead. NaN and
    :data:`MISSING_TEXTS` are missing.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if _is_text(kind):
        return _read_dates(array, date_format) if date_format else _read_text(array)
    if _is_number(kind):
        as_floats = array if pa.types.is_float64(kind) else array.cast(pa.float64(), safe=False)
        return _read_numbers(as_floats, len(array))
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _read_timestamps(array)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return _read_durations(array)
    return ArrowValues(np.empty(0), {}, array.null_count, opaque="" if pa.types.is_null(kind) else str(kind))


def detect_date_format(texts: Iterable[str], first: str = "") -> str:
    """Return the format of dates that fits a sample of these texts, empty when none fits.

    ``first`` is tried before the others: what 1/2/2026 means, only the other table may show.
    """
    sample = pd.Series([text for text, _ in zip(texts, range(_SAMPLE), strict=False)], dtype="str")
    if not len(sample):
        return ""
    formats = (first, *DATE_FORMATS) if first else DATE_FORMATS
    return next((each for each in formats if _parse_dates(sample, each).notna().mean() >= _MIN_DATES), "")


def _parse_dates(texts: pd.Series, date_format: str) -> pd.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about time zones that ISO 8601 does not know
        return pd.to_datetime(texts, format=date_format, errors="coerce", utc=True)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _read_numbers(floats: pa.Array, rows: int) -> ArrowValues:
    numbers = (floats.drop_null() if floats.null_count else floats).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    numbers = numbers[~missing] if missing.any() else numbers
    return ArrowValues(numbers, {}, rows - numbers.size)


def _read_timestamps(array: pa.Array) -> ArrowValues:
    micros = array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False).drop_null()
    return ArrowValues(micros.cast(pa.int64()).to_numpy() / 1e6, {}, array.null_count, dates=True)


def _read_durations(array: pa.Array) -> ArrowValues:
    unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[array.type.unit]
    integer = pa.int32() if array.type.bit_width == 32 else pa.int64()
    return ArrowValues(array.drop_null().cast(integer).to_numpy() / unit, {}, array.null_count)


def _read_text(array: pa.Array) -> ArrowValues:
    try:
        array[:_SAMPLE].cast(pa.float64())  # fails early: casting everything pays only when it succeeds
        values = _read_numbers(array.cast(pa.float64()), len(array))
    except pa.ArrowInvalid:
        return _read_distinct_text(array)
    whole = bool((values.numbers == np.floor(values.numbers)).all())
    if whole and pc.any(pc.match_substring_regex(array, _LEADING_ZERO)).as_py():
        return _read_distinct_text(array)
    return values


def _read_distinct_text(array: pa.Array) -> ArrowValues:
    """Parse each distinct text once; the numbers keep the order of the rows."""
    codes, rows_of, distinct = _encoded(array)
    column = pd.Series(distinct, dtype="str")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    numbers[column.str.match(_LEADING_ZERO).to_numpy(dtype=bool)] = np.nan
    for at in np.flatnonzero(np.isnan(numbers)):
        numbers[at] = _BOOLEANS.get(distinct[at].casefold(), np.nan)
    return _split_texts(array, codes, rows_of, distinct, numbers)


def _read_dates(array: pa.Array, date_format: str) -> ArrowValues:
    codes, rows_of, distinct = _encoded(array)
    instants = _parse_dates(pd.Series(distinct, dtype="str"), date_format)
    parsed = instants.notna().to_numpy(dtype=bool)
    seconds = np.full(len(distinct), np.nan)
    naive = instants[parsed].dt.tz_localize(None).to_numpy().astype("M8[us]")
    seconds[parsed] = naive.astype(np.int64) / 1e6
    return replace(_split_texts(array, codes, rows_of, distinct, seconds), dates=True)


def _split_texts(
    array: pa.Array, codes: Ints, rows_of: Ints, distinct: list[str], numbers: Floats
) -> ArrowValues:
    """Count each text without a number among the texts, or as missing."""
    texts: dict[str, int] = {}
    missing = array.null_count
    for at in np.flatnonzero(np.isnan(numbers)).tolist():
        label = None if distinct[at].strip() in MISSING_TEXTS else label_of(distinct[at])
        if label is None:
            missing += int(rows_of[at])
        else:
            texts[label] = texts.get(label, 0) + int(rows_of[at])
    found = numbers[codes]
    return ArrowValues(found[~np.isnan(found)], texts, missing)


def _encoded(array: pa.Array) -> tuple[Ints, Ints, list[str]]:
    """Return the code of each row that has a text, the rows of each code, and the distinct texts."""
    encoded = array.drop_null().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    distinct = encoded.dictionary.to_pylist()
    return codes, np.bincount(codes, minlength=len(distinct)), distinct
