"""Turn a raw column into categories or classes, the same ones from every source."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from numbers import Number
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config.label_text import FIRST_SPELLING, SPELLING, is_number_text, label_text
from homeostat.config.model import Label
from homeostat.core.training_data.columns import (
    TypedColumn,
    as_number,
    with_rows,
    without_categorical,
)
from homeostat.core.values.missing import is_missing_text, missing_note

#: Classes from here on are text: floats do not hold all whole numbers.
_LONGEST_CLASS = 10**15


def as_category(column: pd.Series, *, listed: Collection[str] = ()) -> TypedColumn:
    """Read a column as text (``str`` dtype, NaN where missing), spelled by ``label_text``.

    The same value is the same text from every source: a column of integers comes back from a CSV or a
    database as floats as soon as one cell is missing, and category ``3`` must stay category ``3``. A word or
    sign for a missing number (``NA``, ``?``) is missing in a column that otherwise holds only numbers or
    booleans, and ``note`` counts it; in a column of text, or where model.yaml lists it, it is a value.

    Parameters
    ----------
    listed
        The categories or classes of model.yaml.
    """
    codes, values = _distinct(without_categorical(column))
    cells = [_text(value, SPELLING) for value in values]
    spelled = [text for text, _ in cells]
    texts = _without_missing_words(values, spelled, listed)
    faults = {
        name: np.isin(codes, [code for code, (_, fault) in enumerate(cells) if fault == name])
        for name in ("mistyped", "infinite", "too_large")
    }

    def rows(texts: list[str | None]) -> pd.Series:
        read = pd.array(texts, dtype="str").take(codes, allow_fill=True)
        return pd.Series(read, index=column.index, name=column.name)

    first = [_text(value, FIRST_SPELLING)[0] for value in values]
    received = rows(first) if first != texts else None
    left_out = {
        value: int((codes == code).sum())
        for code, (value, text) in enumerate(zip(values, texts, strict=True))
        if text is None and spelled[code] is not None
    }
    return TypedColumn(rows(texts), with_rows(faults), received=received, note=missing_note(left_out))


def _distinct(column: pd.Series) -> tuple[np.ndarray, list[Any]]:
    """Return the position of each row's value among the distinct values, -1 where missing; and these."""
    try:
        codes, values = pd.factorize(column)
    except (TypeError, NotImplementedError):  # lists and dictionaries cannot be hashed
        return np.arange(len(column)), column.astype(object).tolist()
    is_float = values.dtype.kind == "f"
    return codes, list(np.asarray(values)) if is_float else values.tolist()  # float32 stays float32


def _without_missing_words(
    values: list[Any], texts: list[str | None], listed: Collection[str]
) -> list[str | None]:
    """Return None for the words for a missing number, where all other texts are numbers or booleans."""
    words = [isinstance(value, str) and is_missing_text(value) and value not in listed for value in values]
    others = [text for text, word in zip(texts, words, strict=True) if text is not None and not word]
    if not any(words) or not others or not all(map(is_number_text, others)):
        return texts
    return [None if word else text for text, word in zip(texts, words, strict=True)]


def as_label(column: pd.Series, task: str, label: Label | None = None) -> TypedColumn:
    """Read the label: float64 for regression; for classes int64 where all are whole numbers, else text.

    Classes are spelled by ``label_text``, so the same labels have the same type from every source. Numbers
    with a fraction stay float64. A missing label is missing, not a fault; whole numbers with missing labels
    stay float64. Where ``label`` has classes or a mapping, spellings become classes, the type follows from
    the classes, and a class that is not listed is a fault, ``unknown_class``.
    """
    column = without_categorical(column)
    if task == "regression":
        return as_number(column)
    if label is not None and (label.classes or label.mapping):
        return _as_class(column, label)
    numeric = column.dtype.kind in "biuf" or (
        column.dtype.kind == "O" and all(isinstance(value, Number) for value in column.dropna())
    )
    return _as_numeric_class(column) if numeric else _as_named_class(column)


def _as_named_class(column: pd.Series) -> TypedColumn:
    cells = as_category(column)
    whole = all(map(_is_whole, cells.column.dropna().unique()))
    return replace(cells, column=_whole(cells.column), received=None) if whole else cells


def _as_numeric_class(column: pd.Series) -> TypedColumn:
    cells = as_number(column)
    if cells.column.isna().any():
        return cells
    whole = cells.column.to_numpy()
    if not np.array_equal(whole, np.trunc(whole)):
        return cells
    small = np.all(np.abs(whole) < _LONGEST_CLASS)
    # Keys become text, as from a CSV: floats would make one class of several.
    return TypedColumn(cells.column.astype(np.int64), cells.faults) if small else as_category(column)


def _as_class(column: pd.Series, label: Label) -> TypedColumn:
    cells = as_category(column, listed=(*(label.classes or ()), *label.mapping))
    meant = cells.column.map({text: label.to_class(text) for text in cells.column.dropna().unique()})
    faults = dict(cells.faults)
    if label.classes is not None:
        unknown = (meant.notna() & ~meant.isin(label.classes)).to_numpy(dtype=bool)
        meant = meant.mask(unknown)
        faults |= with_rows({"unknown_class": unknown})
    named = label.classes or label.mapping.values()
    if meant.notna().all() and all(map(_is_whole, [*named, *meant.unique()])):
        return TypedColumn(meant.astype(np.int64), faults, note=cells.note)
    return TypedColumn(meant.astype("str"), faults, note=cells.note)


def _whole(texts: pd.Series) -> pd.Series:
    """Return texts of whole numbers as int64, as float64 where one is missing."""
    return texts.astype(np.float64 if texts.isna().any() else np.int64)


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal() and str(int(text)) == text and abs(int(text)) < _LONGEST_CLASS


def _text(value: Any, spelling: int) -> tuple[str | None, str]:
    if isinstance(value, (float, np.floating)) and math.isinf(value):
        return None, "infinite"
    if value is None or isinstance(value, (str, bool, np.bool_, Number, datetime, date)):
        if isinstance(value, complex) or (isinstance(value, Decimal) and value.is_infinite()):
            return None, "mistyped" if isinstance(value, complex) else "infinite"
        try:
            return label_text(value, spelling), ""
        except OverflowError:
            return None, "too_large"
    return None, "mistyped"
