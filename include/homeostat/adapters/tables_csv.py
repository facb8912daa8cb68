"""Read CSV in blocks, all values as text: the kind of a column is inferred from all its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from homeostat.adapters.csv_blanks import MAX_LINE
from homeostat.adapters.csv_errors import malformed, open_quote
from homeostat.adapters.csv_head import CsvHead
from homeostat.adapters.csv_one_column import one_column_stream
from homeostat.adapters.csv_repeated_names import is_value_column, may_repeat, repeats_names
from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError

#: Bytes parsed at a time.
BLOCK = MAX_LINE
#: Blocks are joined until they hold so many rows, or so many bytes.
_MIN_ROWS, _MAX_BYTES = 2048, 2**26


#: By the path of each file that has some, the rows that repeat the column names, from 0.
RepeatedNames = dict[str, np.ndarray]


def csv_batches(
    file: TableFile, head: CsvHead, columns: list[str], repeated: RepeatedNames
) -> Iterator[pa.RecordBatch]:
    """Read these columns as text, in blocks; a column that the file lacks is left out.

    Only an empty cell is null: whether ``NA`` is a missing value depends on the column's kind. In a file
    whose texts are in double quotes, as R writes it, a bare ``NA`` is null and a quoted one is text. Empty
    lines are no rows, but in a file of one column they are missing values. Rows that repeat the column names
    are left out, and go into ``repeated``.

    Raises
    ------
    DataError
        A line has more or fewer fields than the first one, or a double quote is not closed.
    """
    if not head.about_rows:
        return
    names = set(head.names)
    present = [name for name in columns if name in names]
    last = head.names[-1]
    asked = may_repeat(head.names)
    start = 0
    for batch in _read(file, head, list(dict.fromkeys([*present, last]))):
        if asked and file.path not in repeated and repeats_names(batch, batch.schema.names).any():
            repeated[file.path] = _repeated_rows(file, head)
        found = repeated.get(file.path)
        kept = batch if last in present else batch.select(present or [last])
        if found is not None and found.size:
            kept = kept.filter(pa.array(~np.isin(np.arange(start, start + batch.num_rows), found)))
        start += batch.num_rows
        yield kept


def _repeated_rows(file: TableFile, head: CsvHead) -> np.ndarray:
    """Return the rows that repeat all of the column names, not only those that are read."""
    found, start = [np.empty(0, dtype=np.int64)], 0
    values = len(head.names) > 1
    for batch in _read(file, head, list(head.names)):
        found.append(start + np.flatnonzero(repeats_names(batch, head.names)))
        values = values or is_value_column(batch.column(0), head.names[0])
        start += batch.num_rows
    return np.concatenate(found if values else found[:1])


def _read(file: TableFile, head: CsvHead, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns; the last one of the file is among them.

    A quote that is never closed swallows all following lines into its last cell.
    """
    from pyarrow import csv as arrow

    last, alone = head.names[-1], len(head.names) == 1
    read = arrow.ReadOptions(
        use_threads=False,
        block_size=BLOCK,
        column_names=list(head.names),
        skip_rows=head.lines,
        encoding="utf-8" if alone else head.encoding,
    )
    parse = arrow.ParseOptions(
        delimiter=head.separator, newlines_in_values=True, ignore_empty_lines=not alone
    )
    convert = arrow.ConvertOptions(
        column_types=dict.fromkeys(head.names, pa.string()),
        include_columns=columns,
        null_values=["", "NA"] if head.quotes_text else [""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=not head.quotes_text,
    )
    ending: str | None = None
    try:
        with _stream(file, head) as stream, arrow.open_csv(stream, read, parse, convert) as reader:
            for batch in _longer(reader):
                ending = batch.column(last)[-1].as_py() if batch.num_rows else None
                yield batch
        if ending and ("\n" in ending or "\r" in ending) and (message := open_quote(file, head)):
            raise DataError(message)
    except pa.ArrowInvalid as error:
        raise DataError(malformed(file, head, str(error))) from error


def _stream(file: TableFile, head: CsvHead) -> Any:
    stream = head.stream(file)
    return one_column_stream(stream, head.encoding) if len(head.names) == 1 else stream


def _longer(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Join short batches: of a wide file a block holds few rows, and each batch costs time per column."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= _MIN_ROWS or size >= _MAX_BYTES:
            yield pa.concat_batches(held)
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_batches(held)
