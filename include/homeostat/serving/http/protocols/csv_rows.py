"""MLflow's ``text/csv``: a header row, then one row a line, quoted as RFC 4180 says.

An empty cell is a missing value, quoted or not. What stands in a cell of a number must be a plain decimal
number (``1``, ``-0.5``, ``2e3``); a category, a key and a timestamp are taken as the text they are.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from typing import Any

from homeostat.serving.scoring_request import BadRequest, InputSpec, Rows, typed_rows

#: A cell longer than this is no feature; csv's own limit is a process-wide setting, so it is held here.
MAX_CELL = 65_536
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SHAPE = "a header row of column names, then one row a line, with '\"' around cells that hold commas"


def parse_csv(body: bytes, spec: InputSpec, *, max_rows: int = 10_000, encoding: str = "utf-8") -> Rows:
    """Turn a CSV body into typed columns, equal to those of the same rows sent as JSON.

    Raises
    ------
    BadRequest
        With a sentence that names the line and the column of model.yaml, and no value.
    """
    lines = _lines(body, encoding)
    names = next(lines, None)
    if names is None:
        msg = f"The CSV body is empty; expected {_SHAPE}."
        raise BadRequest(msg)
    named = [name for name in names if name]  # pandas writes its index under an empty name: passed over
    if len(set(named)) != len(named):
        raise BadRequest("CSV: a column name stands twice in the header row: keep one of them.")
    table: list[list[str]] = []
    for row in lines:
        if len(row) != len(names):
            msg = f"CSV: row {len(table)} has {len(row)} cells, but the header row has {len(names)}."
            raise BadRequest(msg)
        if len(table) == max_rows:
            msg = f"The CSV body holds more than the {max_rows} rows that one request may bring."
            raise BadRequest(msg, 413)
        table.append(row)
    if not table:
        raise BadRequest("The CSV body holds a header row but no rows: send at least one.")
    numbers = {name for name, numeric in zip(spec.names, spec.numeric, strict=True) if numeric}
    columns = {
        name: _numbers(name, table, i) if name in numbers else [row[i] or None for row in table]
        for i, name in enumerate(names)
        if name
    }
    return typed_rows(columns, len(table), spec)


def _lines(body: bytes, encoding: str) -> Iterator[list[str]]:
    """Every line that is not blank, as its cells."""
    try:
        text = body.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        msg = (
            f"The CSV body is not {encoding} text (at byte {error.start}): name its charset in Content-Type."
        )
        raise BadRequest(msg) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error:
            msg = f"CSV: line {reader.line_num} cannot be read; expected {_SHAPE}."
            raise BadRequest(msg) from None
        if cells is None:
            return
        if any(len(cell) > MAX_CELL for cell in cells):
            msg = f"CSV: line {reader.line_num} holds a cell of more than {MAX_CELL} characters."
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
            msg = f"Row {index}, feature '{name}': expected a finite number or an empty cell, found neither."
            raise BadRequest(msg)
        values.append(number)
    return values
