"""Give a CSV column that is plainly numbers or booleans the type that Parquet or SQL would give it.

Whatever else a column of text is (decimal commas, words among numbers), ``core.training_data`` types it.
"""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

_BOOLEANS = {"true": True, "false": False}
_INT64 = 2.0**63


def number_values(column: pd.Series) -> pd.Series:
    """Return text as int64, float64 or booleans where all of it is; otherwise the text.

    Whole numbers beyond 64 bits stay text, because no float holds them.
    """
    texts = pa.array(column, pa.large_string(), from_pandas=True)
    if texts.null_count == len(texts):
        return column
    found = _cast(texts)
    if found is None:
        known = _booleans(texts.unique().drop_null().to_pylist())
        return column.map(known) if known else column
    return pd.Series(found.to_pandas().to_numpy(), index=column.index, name=column.name)


def _cast(texts: pa.Array) -> pa.Array | None:
    try:
        return texts.cast(pa.int64())
    except pa.ArrowInvalid:
        pass
    try:
        floats = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    finite = floats.filter(pc.is_finite(floats))
    huge = pc.max(pc.abs(finite)).as_py()
    return None if huge is not None and huge >= _INT64 else floats


def _booleans(texts: list[str]) -> dict[str, bool]:
    """Return the booleans that these texts mean, empty when one of them means none."""
    if len(texts) > 2 * len("false"):  # true, True and TRUE are few
        return {}
    known = {text: _BOOLEANS.get(text.strip().casefold()) for text in texts}
    return (
        {text: value for text, value in known.items() if value is not None}
        if None not in known.values()
        else {}
    )
