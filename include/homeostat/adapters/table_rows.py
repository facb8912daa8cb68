"""Read a table's columns as one DataFrame, with one type per column over all files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pandas as pd
import pyarrow as pa

from homeostat.adapters.tables import Table, file_of
from homeostat.adapters.tables_parquet import TimeRange

#: In the ``attrs`` of the rows.
FILE_ROWS = "file_rows"

_FAMILIES: tuple[Callable[[pa.DataType], bool], ...] = (
    lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind),
    lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind),
    lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
    lambda kind: (pa.types.is_timestamp(kind) and kind.tz is None) or pa.types.is_date(kind),
)


def read_frame(table: Table, columns: Sequence[str], between: TimeRange | None = None) -> pd.DataFrame:
    """Read these columns of all rows (see :meth:`Table.batches` for ``between``), in the order of the files.

    CSV columns are text (``str``), those of Parquet have the type that holds the values of all files: whole
    numbers in one and fractions in another are fractions, and a column that a file lacks is missing in its
    rows. Types without a common one, such as text and numbers, stay as they are, as objects. ``attrs`` has
    the name and the rows of each file under :data:`FILE_ROWS`.
    """
    files: dict[str, int] = {}
    chunks: dict[str, list[pa.Array]] = {name: [] for name in columns}
    rows = 0
    for batch in table.batches(columns, between):
        rows += batch.num_rows
        file = file_of(batch)
        files[file] = files.get(file, 0) + batch.num_rows
        for name, array in zip(columns, batch.columns, strict=True):
            chunks[name].append(array)
    frame = pd.DataFrame({name: _series(arrays) for name, arrays in chunks.items()}, index=range(rows))
    frame.attrs[FILE_ROWS] = list(files.items())
    return frame


def _series(arrays: Sequence[pa.Array]) -> pd.Series:
    arrays = [array.dictionary_decode() if pa.types.is_dictionary(array.type) else array for array in arrays]
    kinds = {array.type for array in arrays} - {pa.null()}
    if not kinds:
        return pd.Series([None] * sum(map(len, arrays)), dtype=object if arrays else "str")
    kind = kinds.pop() if len(kinds) == 1 else _common_type(kinds)
    if kind is not None:
        try:
            return _to_pandas(pa.chunked_array([array.cast(kind) for array in arrays], kind))
        except pa.ArrowInvalid:  # a whole number that no float holds, a date beyond nanoseconds
            pass
    parts = [_to_pandas(pa.chunked_array([array])).astype(object) for array in arrays]
    return pd.concat(parts, ignore_index=True)


def _to_pandas(column: pa.ChunkedArray) -> pd.Series:
    series: pd.Series = column.to_pandas()
    return series


def _common_type(kinds: Iterable[pa.DataType]) -> pa.DataType | None:
    kinds = list(kinds)
    if not any(all(family(kind) for kind in kinds) for family in _FAMILIES):
        return None
    try:
        schemas = [pa.schema([pa.field("", kind)]) for kind in kinds]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowTypeError:
        return None
