"""Tell text from other bytes: old writers (Impala, Hive, Spark) do not mark the text of Parquet as text."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from homeostat.adapters.tables_parquet import OpenParquet

_ROWS = 2**16
#: Texts have tabs and line ends, and no other control characters; numbers in bytes have.
_CONTROL = r"[\x00-\x08\x0e-\x1f]"


def is_bytes(kind: pa.DataType) -> bool:
    """Return whether arrays of this type hold bytes, or a dictionary of bytes."""
    if pa.types.is_dictionary(kind):
        return is_bytes(kind.value_type)
    return bool(
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def holds_text(file: OpenParquet, name: str) -> bool:
    """Return whether all bytes of a column are text in UTF-8; also where the file has no such column."""
    if not is_bytes(file.types.get(name, pa.null())):
        return True
    for batch in file.parquet.iter_batches(batch_size=_ROWS, columns=[name], use_threads=False):
        try:
            texts = _as_text(batch.column(0))
        except pa.ArrowInvalid:
            return False
        if pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
            return False
    return True


def with_text(batch: pa.RecordBatch, names: Iterable[str]) -> pa.RecordBatch:
    """Return the batch with the bytes of these columns as text; ArrowInvalid for those that are not UTF-8."""
    for name in names:
        at = batch.schema.get_field_index(name)
        if at >= 0 and is_bytes(batch.schema.field(at).type):
            batch = batch.set_column(at, name, _as_text(batch.column(at)))
    return batch


def _as_text(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_fixed_size_binary(array.type):
        array = array.cast(pa.binary())
    return array.cast(pa.large_string() if pa.types.is_large_binary(array.type) else pa.string())
