"""Read the timestamps of a table, or say why that cannot be done and what to write into model.yaml."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.date_format import EPOCH_UNITS
from homeostat.config.errors import DataError
from homeostat.core.training_data.columns import as_number, as_time
from homeostat.core.values.time_numbers import UNIT_NAMES, TimeNumbers, guess_time_numbers

#: More dates than this share whose day and month cannot be told apart are an error.
_MAX_AMBIGUOUS = 0.1
#: A guess from this year on is surer than what model.yaml says.
_THIS_AGE = 1990
_NUMERAL = r"\s*[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?\s*"


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
        The column holds numbers whose unit model.yaml does not name or misnames, or dates whose day and month
        cannot be told apart.
    """
    date_format = config.columns.timestamp_format
    name = config.columns.timestamp
    if holds_numbers(column):
        guesses = _guess(column)
        if date_format is None:
            advice = _without_format(column, guesses, where)
            raise DataError(advice + (f"; {other_cure}" if other_cure else ""))
        _check_unit(date_format, guesses, f"{where}: the numbers of column '{name}'")
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


def _guess(column: pd.Series) -> tuple[TimeNumbers, ...]:
    """Return what the numbers may stand for, by all but the outermost: a few may mean "never"."""
    numbers = as_number(column).column.dropna().sort_values(ignore_index=True)
    if not len(numbers):
        return ()
    cut = len(numbers) // 100
    return guess_time_numbers(float(numbers.iloc[cut]), float(numbers.iloc[-1 - cut]))


def _check_unit(date_format: str, guesses: Sequence[TimeNumbers], where: str) -> None:
    """Raise DataError where another unit puts all numbers into this age, and this one does not."""
    if date_format not in EPOCH_UNITS or any(guess.date_format == date_format for guess in guesses):
        return
    guess = next(iter(guesses), None)
    if guess and guess.first.year >= _THIS_AGE:
        read = f"as {UNIT_NAMES[date_format]} since 1970 are no usual times, but {guess.describe()} are"
        msg = f"{where} {read}: {_cure(guess)} instead of {date_format}"
        raise DataError(msg)


def _without_format(column: pd.Series, guesses: Sequence[TimeNumbers], where: str) -> str:
    example = next((f" such as {value}" for value in column.dropna()), "")
    expected = (
        f"{where}: column '{column.name}' holds numbers{example}, expected times such as 2026-01-31T14:00:00Z"
    )
    if guesses:
        advice = (f"if they are {guess.describe()}, {_cure(guess)}" for guess in guesses)
        return "; ".join((expected, *advice))
    units = " or ".join(EPOCH_UNITS)
    return f"{expected}; if they count from 1970, write schema.timestamp_format: {units}, their unit"


def _cure(guess: TimeNumbers) -> str:
    if guess.date_format:
        quoted = f"'{guess.date_format}'" if "%" in guess.date_format else guess.date_format
        return f"write schema.timestamp_format: {quoted}"
    return guess.remedy


def holds_numbers(times: pd.Series) -> bool:
    """Return whether a column of times holds numbers, whose unit is unknown; of text, in every row."""
    if pd.api.types.is_numeric_dtype(times):
        return len(times) > 0
    if not isinstance(times.dtype, pd.StringDtype):
        return False
    texts = pd.Series(times.dropna().unique(), dtype="str")
    return len(texts) > 0 and bool(texts.str.fullmatch(_NUMERAL).all())
