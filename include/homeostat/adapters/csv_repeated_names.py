"""Find rows of a CSV file that repeat its column names, as where files were joined by ``cat``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.adapters.column_names import is_value, looks_like_row

_MARK = "\ufeff"
_UNNAMED = "Unnamed: "


def may_repeat(names: Sequence[str]) -> bool:
    """Return whether a row with these names of all columns must be a repetition of them.

    Where the names look like a row, or all of them are values such as 0 or 1990, a row may hold the same.
    """
    return not looks_like_row(names) and not all(map(is_value, names))


def repeats_names(batch: pa.RecordBatch, names: Sequence[str]) -> np.ndarray:
    """Return which rows hold in each of these columns the column's name."""
    mask: pa.Array | None = None
    for name in names:
        column = batch.column(name)
        found = pc.is_in(column, pa.array([name, _MARK + name]))
        if name.startswith(_UNNAMED):
            found = pc.or_(found, pc.is_null(column))
        mask = found if mask is None else pc.and_(mask, found)
        if not pc.any(mask).as_py():
            break
    if mask is None:
        return np.zeros(batch.num_rows, dtype=bool)
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=bool)


def is_value_column(column: pa.Array, name: str) -> bool:
    """Return whether nearly all other values are numbers or dates, so that the name is no value."""
    others = [text for text in column.drop_null().unique().to_pylist()[:1000] if text.strip(_MARK) != name]
    return bool(others) and sum(map(is_value, others)) > 0.9 * len(others)
