"""Read Arrow columns as numbers or as labels without pandas, where Arrow's types allow it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.config.label_text import SPELLING
from homeostat.core.profile.coerce import MAX_LABEL_BYTES, Floats, Ints, label_of
from homeostat.core.values.short_floats import widen_arrow

#: Matches all texts that :func:`homeostat.config.label_text.label_text` changes, and others.
_MAYBE_NUMBER = r"(?s)^(?:|-?[0-9]|-?[0-9].*[0-9]|(?i:true|false))$"


def arrow_of(column: pd.Series) -> pa.ChunkedArray | pa.Array | None:
    """Return the Arrow array that backs a column of text, None when something else backs it."""
    if isinstance(column.dtype, pd.StringDtype) and column.dtype.storage == "pyarrow":
        return column.array.__arrow_array__()
    return None


def arrow_numbers(kind: pa.DataType, chunks: Iterable[pa.Array]) -> Iterator[Floats] | None:
    """Return the numbers chunk by chunk, NaN for missing; None when the column's type is not numeric.

    :func:`homeostat.core.profile.coerce.as_numbers` is the counterpart for the other types.
    """
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        return None
    return map(_floats, chunks)


def _floats(chunk: pa.Array) -> Floats:
    # The cast rounds integers to the nearest float beyond 2**53, as NumPy does.
    floats = widen_arrow(chunk) if pa.types.is_floating(chunk.type) else chunk.cast(pa.float64(), safe=False)
    return np.asarray(floats.to_numpy(zero_copy_only=False), dtype=np.float64)


def arrow_labels(
    array: pa.ChunkedArray | pa.Array, spelling: int = SPELLING
) -> tuple[Ints, list[str], int] | None:
    """Return labels with their counts, and the missing rows; None for other types of columns.

    :func:`homeostat.core.profile.coerce.as_labels` is the counterpart for the other types. A label may
    appear more than once; a dictionary's labels are converted once, however many rows it has.
    """
    kind = array.type
    if pa.types.is_dictionary(kind) and _plain(kind.value_type):
        found = [_of_codes(chunk) for chunk in chunks_of(array)]
    elif _plain(kind):
        value_counts = array.value_counts()
        found = [(value_counts.field("values"), value_counts.field("counts").to_numpy())]
    else:
        return None
    per_label: list[int] = []
    labels: list[str] = []
    missing = 0
    for values, rows_of in found:
        for value, rows in zip(_scalars(values), rows_of.tolist(), strict=True):
            label = label_of(value, spelling)
            if label is None:
                missing += rows
            else:
                per_label.append(rows)
                labels.append(label)
    return np.array(per_label, dtype=np.int64), labels, missing


def is_own_label(texts: pa.Array) -> np.ndarray:
    """Return for each text whether it surely is its own label: no number, no boolean, and not too long.

    :func:`~homeostat.core.profile.coerce.label_of` has to see only the others. The texts are distinct.
    """
    others = pc.or_(
        pc.match_substring_regex(texts, _MAYBE_NUMBER), pc.greater(pc.binary_length(texts), MAX_LABEL_BYTES)
    )
    return np.asarray(pc.invert(others))


def _scalars(values: pa.Array) -> Iterable[Any]:
    """Return values as Python or NumPy scalars: a 32-bit 0.1 as itself, not as the float64 next to it."""
    small = pa.types.is_float32(values.type)
    return list(values.to_numpy(zero_copy_only=False)) if small else values.to_pylist()


def label_scalars(array: pa.Array) -> list[Any]:
    """Return the values from which labels are made, as :func:`arrow_labels` and its counterpart make them."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return list(_scalars(array)) if _plain(array.type) else list(array.to_pandas())


def _plain(kind: pa.DataType) -> bool:
    is_number = pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)
    return bool(is_text(kind) or is_number or pa.types.is_boolean(kind))


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _of_codes(chunk: pa.DictionaryArray) -> tuple[pa.Array, Ints]:
    codes = chunk.indices.drop_null() if chunk.indices.null_count else chunk.indices
    rows = np.bincount(codes.to_numpy(), minlength=len(chunk.dictionary))
    used = np.flatnonzero(rows)
    values = chunk.dictionary.take(pa.array(used))
    missing = len(chunk) - len(codes)
    return pa.concat_arrays([values, pa.nulls(1, values.type)]), np.append(rows[used], missing)


def chunks_of(array: pa.ChunkedArray | pa.Array) -> list[pa.Array]:
    """Return the arrays that a column consists of."""
    return list(array.chunks) if isinstance(array, pa.ChunkedArray) else [array]
