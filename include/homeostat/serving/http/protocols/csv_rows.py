"""MLflow's ``text/csv``: a header row, then one row per line, quoted as in RFC 4180.

An empty cell is a missing value, quoted or not. A number is a plain decimal (``1``, ``-0.5``, ``2e3``);
categories, keys and timestamps are text.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import Any

from homeostat.serving.scoring_request import BadRequest, InputSpec, Rows, typed_rows

#: The longest cell. The csv module's own limit is a process-wide setting, so it is checked here.
MAX_CELL = 65_536
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SHAPE = "a header row of column names, then one row per line, with '\"' around cells that contain commas"


def parse_csv(body: bytes, spec: InputSpec, *, max_rows: int = 10_000, encoding: str = "utf-8") -> Rows:
    """Parse a CSV body into typed columns, equal to those of the same rows sent as JSON.

    Raises
    ------
    BadRequest
        The message names the line and the column of model.yaml, and no value.
    """
    lines = _lines(body, encoding)
    names = next(lines, None)
    if names is None:
        msg = f"The CSV body is empty; expected {_SHAPE}."
        raise BadRequest(msg)
    named = [name for name in names if name]  # pandas writes its index under an empty name: ignored
    if len(set(named)) != len(named):
        raise BadRequest("CSV: the header row has a duplicate column name: keep one of them.")
    table: list[list[str]] = []
    for row in lines:
        if len(row) != len(names):
            msg = f"CSV: row {len(table)} has {len(row)} cells, but the header row has {len(names)}."
            raise BadRequest(msg)
        if len(table) == max_rows:
            msg = f"The CSV body has more than {max_rows} rows, the limit of one request."
            raise BadRequest(msg, 413)
        table.append(row)
    if not table:
        raise BadRequest("The CSV body has a header row but no rows: send at least one.")
    numbers = {name for name, numeric in zip(spec.names, spec.numeric, strict=True) if numeric}
    columns = {
        name: _numbers(name, table, i) if name in numbers else [row[i] or None for row in table]
        for i, name in enumerate(names)
        if name
    }
    return typed_rows(columns, len(table), spec)


def _lines(body: bytes, encoding: str) -> Iterator[list[str]]:
    """Yield the cells of every line that is not blank."""
    try:
        text = body.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        msg = f"The CSV body is not {encoding} text (at byte {error.start}): set charset in Content-Type."
        raise BadRequest(msg) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:
            msg = f"CSV: line {reader.line_num} is malformed; expected {_SHAPE}."
            raise BadRequest(msg) from None
        if cells is None:
            return
        if any(len(cell) > MAX_CELL for cell in cells):
            msg = f"CSV: line {reader.line_num} has a cell of more than {MAX_CELL} characters."
            raise BadRequest(msg)
        if cells:
            yield cells


def _numbers(name: str, table: list[list[str]], column: int) -> list[Any]:
    values: list[Any] = []
    for index, row in enumerate(table):
        cell = row[column].strip()
        if not cell:
            values.append(None)
            continue
        number = float(cell) if _NUMBER.fullmatch(cell) else math.inf
        if not math.isfinite(number):
            msg = f"Row {index}, feature '{name}': expected a finite number or an empty cell."
            raise BadRequest(msg)
        values.append(number)
    return values
