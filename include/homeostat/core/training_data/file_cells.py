"""Make columns of text even where files of one table spell numbers, or order dates, differently.

Such files are read one by one, by what :mod:`homeostat.core.values` finds in each, as drift checks do; their
cells become plain numbers and ISO times. A column that all files spell alike stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from homeostat.config.errors import DataError
from homeostat.core.training_data.text_cells import encode
from homeostat.core.values.date_doubts import taken_note
from homeostat.core.values.date_orders import decide_orders
from homeostat.core.values.dates import order_of, parse_dates, strptime_of, weigh_dates
from homeostat.core.values.missing import is_missing_word
from homeostat.core.values.numbers import parse_numbers, weigh_numbers
from homeostat.core.values.spelling import decide_spellings, has_mixed_marks

#: In the ``attrs`` of a source's rows: the sentence on files that do not tell the order of day and month.
OPEN_DATES = "open_dates"
#: A file's name and its rows, in the order of the table.
FileRows = Sequence[tuple[str, int]]

#: In the ``attrs`` of a source's rows: sentences on what of its files is not read.
FILE_NOTES = "file_notes"
#: In the ``attrs`` of a source's rows: the columns of its files that model.yaml does not name.
OTHER_COLUMNS = "other_columns"


def even_numbers(column: pd.Series, files: FileRows) -> pd.Series:
    """Return a column of numbers as text, in the usual spelling where its files differ in theirs.

    Raises
    ------
    DataError
        Some files have numbers like 1,234 and others like 1.234, and nothing tells what they are.
    """
    texts = _by_file(column, files)
    evidence = {}
    for file, (_, distinct, rows) in texts.items():
        numerals = ~is_missing_word(distinct).to_numpy(zero_copy_only=False)
        evidence[file] = weigh_numbers(distinct.filter(pa.array(numerals)), rows[numerals])
    if has_mixed_marks(evidence.values(), evidence.values()):
        msg = (
            f"column '{column.name}': {_names(files)} have numbers like 1,234 and like 1.234, and nothing "
            "tells which mark is the decimal one: save all files with the same"
        )
        raise DataError(msg)
    spellings = {file: each for file, each in decide_spellings(evidence).items() if evidence[file].readable}
    if len({(each.marks, each.unit) for each in spellings.values()}) < 2:
        return column

    def read(file: str, distinct: pa.Array) -> list[str | None]:
        numbers = (
            parse_numbers(distinct, spellings[file]) if file in spellings else np.full(len(distinct), np.nan)
        )
        return [None if np.isnan(number) else repr(number) for number in numbers.tolist()]

    return _replaced(column, texts, read)


def even_dates(column: pd.Series, files: FileRows, date_format: str = "") -> tuple[pd.Series, str]:
    """Return a column of times as text, in ISO form where its files order day and month differently.

    Also returns which files do not tell their order, and have that of another one; empty when none.

    Parameters
    ----------
    date_format
        The format of model.yaml: it decides the order of a file that leaves it open.

    Raises
    ------
    DataError
        A file leaves the order open, and its dates speak against that of the other files.
    """
    if _is_iso(column):
        return column, ""
    texts = _by_file(column, files)
    decision = decide_orders(
        {file: weigh_dates(distinct, rows) for file, (_, distinct, rows) in texts.items()},
        order_of(date_format),
    )
    for layout, doubt in decision.doubts.items():
        formats = [strptime_of(layout, order) for order in (doubt.other, doubt.taken)]
        msg = (
            f"column '{column.name}': day and month cannot be told apart in {_file_name(str(doubt.file))} "
            f"({doubt.describe()}); write the format of that file into model.yaml, "
            f"schema.timestamp_format: '{formats[0]}' or '{formats[1]}'"
        )
        raise DataError(msg)
    note = taken_note({_file_name(str(file)): _file_name(str(of)) for file, of in decision.taken.items()})
    layouts = {layout for orders in decision.orders.values() for layout in orders}
    found = [{orders.get(layout, "") for orders in decision.orders.values()} - {""} for layout in layouts]
    if all(len(orders) == 1 for orders in found):
        return column, note

    def read(file: str, distinct: pa.Array) -> list[str | None]:
        seconds = parse_dates(distinct, decision.orders[file])
        moments = np.where(np.isnan(seconds), 0, np.round(seconds * 1e6)).astype(np.int64).astype("M8[us]")
        iso = np.datetime_as_string(moments).tolist()
        return [None if gone else f"{text}Z" for gone, text in zip(np.isnan(seconds), iso, strict=True)]

    return _replaced(column, texts, read), note


_Texts = tuple[np.ndarray, pa.Array, np.ndarray]


def _by_file(column: pd.Series, files: FileRows) -> dict[str, _Texts]:
    ends = np.cumsum([rows for _, rows in files]).tolist()
    return {
        file: encode(column.iloc[end - rows : end]) for (file, rows), end in zip(files, ends, strict=True)
    }


def _replaced(
    column: pd.Series, texts: Mapping[str, _Texts], read: Callable[[str, pa.Array], list[str | None]]
) -> pd.Series:
    """Return the column with the cells of each file as they were read, and the others as they are."""
    parts = []
    for file, (codes, distinct, _) in texts.items():
        pairs = zip(read(file, distinct), distinct.to_pylist(), strict=True)
        even = pd.array([text if new is None else new for new, text in pairs], dtype="str")
        parts.append(pd.Series(even.take(codes, allow_fill=True)))
    return pd.Series(pd.concat(parts).array, index=column.index, name=column.name)


def _is_iso(column: pd.Series) -> bool:
    texts = pa.array(column, pa.large_string(), from_pandas=True)
    for zone in (None, "UTC"):
        try:
            texts.cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid:
            continue
        return True
    return False


def _names(files: FileRows) -> str:
    names = [_file_name(file) for file, _ in files]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _file_name(file: str) -> str:
    return file.rstrip("/").rpartition("/")[2]
