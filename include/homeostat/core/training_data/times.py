"""Read the timestamps of a table, or say why that cannot be done and what to write into model.yaml."""

from __future__ import annotations

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.date_format import EPOCH_UNITS
from homeostat.config.errors import DataError
from homeostat.core.training_data.columns import as_time

#: More dates than this share whose day and month cannot be told apart are an error.
_MAX_AMBIGUOUS = 0.1
_NUMERAL = r"\s*[+-]?[0-9]+(\.[0-9]*)?\s*"


def read_times(column: pd.Series, config: ModelConfig, where: str, *, other_cure: str = "") -> pd.Series:
    """Return the column as UTC instants, NaT where a cell is none; see :func:`as_time`.

    Parameters
    ----------
    where
        The beginning of an error: the file, or model.yaml and the setting.
    other_cure
        What else to do about a column of numbers.

    Raises
    ------
    DataError
        The column holds numbers whose unit model.yaml does not name, or dates whose day and month cannot be
        told apart.
    """
    date_format = config.columns.timestamp_format
    name = config.columns.timestamp
    if date_format is None and holds_numbers(column):
        units = ", ".join(unit for unit in EPOCH_UNITS if unit != "ms")
        example = next((f" such as {value}" for value in column.dropna()), "")
        msg = (
            f"{where}: column '{name}' holds numbers{example}, expected times such as 2026-01-31T14:00:00Z; "
            f"if they count from 1970, write schema.timestamp_format: ms (or {units})"
        ) + (f"; {other_cure}" if other_cure else "")
        raise DataError(msg)
    typed = as_time(column, date_format)
    ambiguous = typed.faults.get("ambiguous")
    if ambiguous is not None and ambiguous.mean() > _MAX_AMBIGUOUS:
        msg = (
            f"{where}: day and month cannot be told apart in column '{name}', for example "
            f"{column[ambiguous].iloc[0]!r}; write the format into model.yaml, such as "
            "schema.timestamp_format: '%d/%m/%Y'"
        )
        raise DataError(msg)
    return typed.column


def holds_numbers(times: pd.Series) -> bool:
    """Return whether a column of times holds numbers, whose unit is unknown; of text, in every row."""
    if pd.api.types.is_numeric_dtype(times):
        return len(times) > 0
    if not isinstance(times.dtype, pd.StringDtype):
        return False
    texts = pd.Series(times.dropna().unique(), dtype="str")
    return len(texts) > 0 and bool(texts.str.fullmatch(_NUMERAL).all())
