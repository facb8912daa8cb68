"""Read CSV in blocks, all values as text: the kind of a column is inferred from all its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from homeostat.adapters.csv_blanks import MAX_LINE
from homeostat.adapters.csv_errors import malformed, open_quote
from homeostat.adapters.csv_head import CsvHead
from homeostat.adapters.table_location import TableFile
from homeostat.config.errors import DataError

#: Bytes parsed at a time.
BLOCK = MAX_LINE
#: Blocks are joined until they hold so many rows, or so many bytes.
_MIN_ROWS, _MAX_BYTES = 2048, 2**26


def csv_batches(file: TableFile, head: CsvHead, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read these columns as text, in blocks; a column that the file lacks is left out.

    Only an empty cell is null: whether ``NA`` is a missing value depends on the column's kind. In a file
    whose texts are in double quotes, as R writes it, a bare ``NA`` is null and a quoted one is text.

    Raises
    ------
    DataError
        A line has more or fewer fields than the first one, or a double quote is not closed.
    """
    from pyarrow import csv as arrow

    if not head.about_rows:
        return
    names = set(head.names)
    present = [name for name in columns if name in names]
    last = head.names[-1]  # a quote that is never closed swallows all following lines into its last cell
    read = arrow.ReadOptions(
        use_threads=False,
        block_size=BLOCK,
        column_names=list(head.names),
        skip_rows=head.lines,
        encoding=head.encoding,
    )
    parse = arrow.ParseOptions(delimiter=head.separator, newlines_in_values=True)
    convert = arrow.ConvertOptions(
        column_types=dict.fromkeys(head.names, pa.string()),
        include_columns=list(dict.fromkeys([*present, last])),
        null_values=["", "NA"] if head.quotes_text else [""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=not head.quotes_text,
    )
    ending: str | None = None
    try:
        with head.stream(file) as stream, arrow.open_csv(stream, read, parse, convert) as reader:
            for batch in _longer(reader):
                ending = batch.column(last)[-1].as_py() if batch.num_rows else None
                yield batch if last in present else batch.select(present or [last])
        if ending and ("\n" in ending or "\r" in ending) and (message := open_quote(file, head)):
            raise DataError(message)
    except pa.ArrowInvalid as error:
        raise DataError(malformed(file, head, str(error))) from error


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
