"""Any Arrow array as numbers and words: the same whether a file kept 1, 1.0, true or "1"."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.profile.coerce import Floats, Ints, label_of

#: Text that says that a value is missing, as CSV writers spell it.
NOTHING = frozenset(
    [
        *("", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "nan", "NaN", "-nan", "-NaN", "NaT"),
        *("null", "NULL", "None"),
    ]
)
#: Ways to write a date, the first that fits every value of the sample is taken.
DATE_FORMATS = (
    "ISO8601",
    *(f"{day}{time}" for day in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y") for time in ("", " %H:%M", " %H:%M:%S")),
)
_TRUTH = {"true": 1.0, "false": 0.0}
_CODE = r"^[+-]?0[0-9]"  # 007 is a name, not a seven
_SAMPLE = 200
_MOST = 0.9  # of a sample; the others may be ways to write "missing"


@dataclass(frozen=True, slots=True)
class Values:
    """What stands in an array.

    ``numbers`` in their order (dates as seconds since 1970 when ``dates``), ``words`` with their rows,
    rows without a value, and rows that hold a container, whose type is ``opaque``.
    """

    numbers: Floats
    words: dict[str, int]
    missing: int
    dates: bool = False
    opaque: str = ""


def values_of(array: pa.Array, date_format: str = "") -> Values:
    """Read an array.

    Numbers, decimals and durations are numbers, booleans are 1 and 0, dates and instants are seconds
    since 1970. Text is a number where it reads as one, unless it has a leading zero; ``true`` and
    ``false`` are 1 and 0 in any case; with a ``date_format`` it is dates instead. NaN and the words of
    :data:`NOTHING` are missing.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if is_text(kind):
        return _dates(array, date_format) if date_format else _text(array)
    if _is_number(kind):
        as_floats = array if pa.types.is_float64(kind) else array.cast(pa.float64(), safe=False)
        return _numbers(as_floats, len(array))
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _calendar(array)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return _clock(array)
    return Values(np.empty(0), {}, array.null_count, opaque="" if pa.types.is_null(kind) else str(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether this is any of Arrow's types for text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def date_format_of(words: Iterable[str], first: str = "") -> str:
    """The way in which a sample of these words is written as dates; empty when they are not.

    ``first`` is tried before the others: what 1/2/2026 means, only the other file may tell.
    """
    sample = pd.Series([word for word, _ in zip(words, range(_SAMPLE), strict=False)], dtype="str")
    if not len(sample):
        return ""
    styles = (first, *DATE_FORMATS) if first else DATE_FORMATS
    return next((style for style in styles if _instants(sample, style).notna().mean() >= _MOST), "")


def _instants(words: pd.Series, style: str) -> pd.Series:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about zones of a kind that ISO 8601 does not know
        return pd.to_datetime(words, format=style, errors="coerce", utc=True)


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _numbers(floats: pa.Array, rows: int) -> Values:
    numbers = (floats.drop_null() if floats.null_count else floats).to_numpy(zero_copy_only=False)
    absent = np.isnan(numbers)
    numbers = numbers[~absent] if absent.any() else numbers
    return Values(numbers, {}, rows - numbers.size)


def _calendar(array: pa.Array) -> Values:
    micros = array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False).drop_null()
    return Values(micros.cast(pa.int64()).to_numpy() / 1e6, {}, array.null_count, dates=True)


def _clock(array: pa.Array) -> Values:
    unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[array.type.unit]
    whole = pa.int32() if array.type.bit_width == 32 else pa.int64()
    return Values(array.drop_null().cast(whole).to_numpy() / unit, {}, array.null_count)


def _text(array: pa.Array) -> Values:
    try:
        array[:_SAMPLE].cast(pa.float64())  # all at once is quick only where it works
        quick = _numbers(array.cast(pa.float64()), len(array))
    except pa.ArrowInvalid:
        return _distinct_text(array)
    whole = bool((quick.numbers == np.floor(quick.numbers)).all())
    if whole and pc.any(pc.match_substring_regex(array, _CODE)).as_py():
        return _distinct_text(array)
    return quick


def _distinct_text(array: pa.Array) -> Values:
    """Each distinct text is looked at once; the order of the numbers is that of the rows."""
    codes, rows_of, texts = _encoded(array)
    column = pd.Series(texts, dtype="str")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    numbers[column.str.match(_CODE).to_numpy(dtype=bool)] = np.nan
    for at in np.flatnonzero(np.isnan(numbers)):
        numbers[at] = _TRUTH.get(texts[at].casefold(), np.nan)
    return _told_apart(array, codes, rows_of, texts, numbers)


def _dates(array: pa.Array, style: str) -> Values:
    codes, rows_of, texts = _encoded(array)
    instants = _instants(pd.Series(texts, dtype="str"), style)
    there = instants.notna().to_numpy(dtype=bool)
    seconds = np.full(len(texts), np.nan)
    naive = instants[there].dt.tz_localize(None).to_numpy().astype("M8[us]")
    seconds[there] = naive.astype(np.int64) / 1e6
    return replace(_told_apart(array, codes, rows_of, texts, seconds), dates=True)


def _told_apart(array: pa.Array, codes: Ints, rows_of: Ints, texts: list[str], numbers: Floats) -> Values:
    """Put a text that has no number among the words, or among what is missing."""
    words: dict[str, int] = {}
    missing = array.null_count
    for at in np.flatnonzero(np.isnan(numbers)).tolist():
        label = None if texts[at].strip() in NOTHING else label_of(texts[at])
        if label is None:
            missing += int(rows_of[at])
        else:
            words[label] = words.get(label, 0) + int(rows_of[at])
    found = numbers[codes]
    return Values(found[~np.isnan(found)], words, missing)


def _encoded(array: pa.Array) -> tuple[Ints, Ints, list[str]]:
    """The code of each row that has a text, the rows of each code, and the distinct texts."""
    encoded = array.drop_null().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    texts = encoded.dictionary.to_pylist()
    return codes, np.bincount(codes, minlength=len(texts)), texts
