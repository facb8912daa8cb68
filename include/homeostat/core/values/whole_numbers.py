"""Whole numbers beyond 2^53, which float64 rounds: keys, ids, counts of nanoseconds.

Numbers are float64 arrays. Where all numbers of an array are whole and one lies beyond 2^53, the array is
int64 instead, or beyond 64 bits an array of Python integers, and no two different numbers become one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.values.numbers import PLAIN, Floats, Spelling

#: Beyond, float64 does not hold every whole number.
LARGEST = 2.0**53
_INT64 = 2**63
_EXPONENT = re.compile(r"[0-9.][eEdD][-+]?[0-9]")

#: float64; int64 or Python integers where whole numbers are beyond :data:`LARGEST`.
Numbers = npt.NDArray[Any]


def is_exact(numbers: Numbers) -> bool:
    """Return whether an array holds integers, not floats."""
    return numbers.dtype.kind != "f"


def are_rounded(numbers: Floats) -> bool:
    """Return whether all numbers are whole and finite, and one of them is too large for float64."""
    if not numbers.size or not np.abs(numbers).max() >= LARGEST:
        return False
    return bool((np.isfinite(numbers) & (numbers == np.floor(numbers))).all())


def integers(values: Iterable[Any]) -> Numbers:
    """Return whole numbers as int64, or as Python integers where 64 bits do not hold them."""
    found = np.fromiter((int(value) for value in values), dtype=object)
    fits = not found.size or (found.min() >= -_INT64 and found.max() < _INT64)
    return found.astype(np.int64) if fits else found


def typed_integers(array: pa.Array) -> Numbers | None:
    """Return an array of integers or decimals without nulls exactly; None where float64 holds them too."""
    kind = array.type
    if pa.types.is_integer(kind):
        ends = pc.min_max(array).as_py()
        if not len(array) or (ends["min"] > -LARGEST and ends["max"] < LARGEST):
            return None
        return integers(array.to_pylist()) if ends["max"] >= _INT64 else array.cast(pa.int64()).to_numpy()
    if not pa.types.is_decimal(kind) or not are_rounded(array.cast(pa.float64(), safe=False).to_numpy()):
        return None
    try:
        return np.asarray(array.cast(pa.int64()).to_numpy())
    except pa.ArrowInvalid:  # a fraction that float64 rounds away, or beyond 64 bits
        values = array.to_pylist()
        return integers(values) if all(value == int(value) for value in values) else None


def text_integers(texts: pa.Array, numbers: Floats, spelling: Spelling = PLAIN) -> Numbers:
    """Return whole numbers that are text exactly.

    A text with an exponent is a float that a program wrote, and stays that float, as in
    :mod:`homeostat.config.label_text`.

    Parameters
    ----------
    numbers
        What :func:`~homeostat.core.values.numbers.parse_numbers` reads in this spelling: all are whole.
    """
    try:
        return np.asarray(texts.cast(pa.int64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        pairs = zip(texts.to_pylist(), numbers.tolist(), strict=True)
        return integers(_integer(text, number, spelling) for text, number in pairs)


def _integer(text: str, number: float, spelling: Spelling) -> int:
    if abs(number) < LARGEST or spelling.unit == "%" or _EXPONENT.search(text):
        return int(number)
    whole = re.sub(r"\D", "", text.split(spelling.decimal, maxsplit=1)[0])
    return -int(whole) if number < 0 else int(whole)


def concatenate(arrays: Sequence[Numbers]) -> Numbers:
    """Return all numbers, in their order: integers where any array holds some and all numbers are whole."""
    if not any(map(is_exact, arrays)):
        return np.concatenate(arrays) if arrays else np.empty(0)
    if all(is_exact(each) or (np.isfinite(each) & (each == np.floor(each))).all() for each in arrays):
        whole = [each if is_exact(each) else integers(each.tolist()) for each in arrays]
        return np.concatenate(whole)
    return np.concatenate([each.astype(np.float64) for each in arrays])


def ends_of(numbers: Numbers) -> tuple[float, float]:
    """Return the smallest and the largest number, as Python floats or integers."""
    low, high = numbers.min(), numbers.max()
    return (low.item(), high.item()) if isinstance(low, np.generic) else (low, high)
