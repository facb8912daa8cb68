"""Floats of 32 and 16 bits: the number is the shortest decimal that reads back as the same bits.

A price of 0.1 that is kept in 32 bits is 0.1, as in a CSV, and not 0.10000000149011612.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.values.numbers import Floats


def widen(numbers: npt.NDArray[np.floating]) -> Floats:
    """Return floats of any width as float64; NaN and infinities stay."""
    wide = numbers.astype(np.float64)
    if numbers.dtype == np.float64:
        return wide
    with np.errstate(invalid="ignore"):
        all_whole = 2.0 ** (np.finfo(numbers.dtype).nmant + 1)  # below it every whole number is a float
        plain = (np.abs(wide) < all_whole) & (wide == np.floor(wide))
    at = np.flatnonzero(~plain & np.isfinite(wide))
    if at.size:
        wide[at] = _shortest(numbers[at])
    return wide


def _shortest(numbers: npt.NDArray[np.floating]) -> Floats:
    if numbers.dtype == np.float16:  # Arrow writes these as float64
        distinct, codes = np.unique(numbers, return_inverse=True)
        return np.array([float(str(number)) for number in distinct])[codes]
    return np.asarray(pa.array(numbers.astype(np.float32)).cast(pa.string()).cast(pa.float64()).to_numpy())


def floats_of(column: pd.Series) -> Floats:
    """Return a column of numbers or booleans as float64, NaN where it is missing."""
    size = getattr(column.dtype, "itemsize", 8)
    short = column.dtype.kind == "f" and size < 8
    if isinstance(column.dtype, np.dtype):
        values = column.to_numpy()
        return widen(values) if short else values.astype(np.float64, copy=False)
    if short:
        return widen(column.to_numpy(dtype=f"float{8 * size}", na_value=np.nan))
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def widen_arrow(array: pa.Array) -> pa.Array:
    """Return an Arrow array of floats as float64; nulls stay."""
    if pa.types.is_float64(array.type):
        return array
    found = widen(array.to_numpy(zero_copy_only=False))
    return pa.array(found, mask=pc.is_null(array).to_numpy(zero_copy_only=False))
