"""Read Arrow arrays that hold no text as numbers and dates."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from homeostat.config.date_format import EPOCH_UNITS, from_epoch
from homeostat.core.values.dates import parse_dates
from homeostat.core.values.short_floats import widen_arrow
from homeostat.core.values.whole_numbers import Numbers, typed_integers


@dataclass(frozen=True, slots=True)
class ArrowValues:
    """The values of an array.

    ``numbers`` in their order (dates as seconds since 1970 when ``dates``; integers where float64 would round
    them, see :mod:`homeostat.core.values.whole_numbers`), ``texts`` with their rows,
    words for "missing" with theirs (see :mod:`homeostat.core.values.missing`), the rows without a value,
    and for containers the name of their type in ``opaque``.
    """

    numbers: Numbers
    texts: dict[str, int]
    missing: int
    words: dict[str, int] = field(default_factory=dict)
    dates: bool = False
    opaque: str = ""


def is_text(kind: pa.DataType) -> bool:
    """Return whether arrays of this type hold text."""
    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def read_typed(array: pa.Array, date_format: str = "") -> ArrowValues:
    """Read an array that holds no text.

    Numbers, decimals and durations are numbers, booleans are 1 and 0, dates and instants are seconds since
    1970. So are numbers when ``date_format`` is one of :data:`homeostat.config.date_format.EPOCH_UNITS` or
    fits their digits. NaN is missing.
    """
    kind = array.type
    if pa.types.is_dictionary(kind):
        array, kind = array.dictionary_decode(), kind.value_type
    if _is_number(kind):
        found = _read_numbers(array)
        if date_format in EPOCH_UNITS:
            seconds = from_epoch(found.numbers.astype(np.float64, copy=False), date_format)
            return replace(found, numbers=seconds, dates=True)
        return _read_digits(found, date_format) if date_format else found
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return _read_timestamps(array)
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return _read_durations(array)
    return ArrowValues(np.empty(0), {}, array.null_count, opaque="" if pa.types.is_null(kind) else str(kind))


def _read_digits(found: ArrowValues, date_format: str) -> ArrowValues:
    """Read whole numbers as the digits of dates: 20240131 in the format %Y%m%d."""
    values, codes = np.unique(found.numbers, return_inverse=True)
    digits = [str(int(value)) if value == value // 1 else str(value) for value in values.tolist()]
    seconds = parse_dates(pa.array(digits, pa.string()), {}, date_format)
    rows = np.bincount(codes, minlength=len(digits))
    texts = {digits[at]: int(rows[at]) for at in np.flatnonzero(np.isnan(seconds)).tolist()}
    read = seconds[codes]
    return replace(found, numbers=read[~np.isnan(read)], texts=texts, dates=True)


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _read_numbers(array: pa.Array) -> ArrowValues:
    present = array.drop_null() if array.null_count else array
    exact = typed_integers(present)
    if exact is not None:
        return ArrowValues(exact, {}, array.null_count)
    if pa.types.is_floating(array.type):
        numbers = widen_arrow(present).to_numpy(zero_copy_only=False)
    else:
        numbers = present.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    missing = np.isnan(numbers)
    numbers = numbers[~missing] if missing.any() else numbers
    return ArrowValues(numbers, {}, len(array) - numbers.size)


def _read_timestamps(array: pa.Array) -> ArrowValues:
    micros = array.cast(pa.timestamp("us", getattr(array.type, "tz", None)), safe=False).drop_null()
    return ArrowValues(micros.cast(pa.int64()).to_numpy() / 1e6, {}, array.null_count, dates=True)


def _read_durations(array: pa.Array) -> ArrowValues:
    unit = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[array.type.unit]
    integer = pa.int32() if array.type.bit_width == 32 else pa.int64()
    return ArrowValues(array.drop_null().cast(integer).to_numpy() / unit, {}, array.null_count)
