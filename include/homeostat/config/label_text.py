"""Normalize class labels, so that 1, 1.0, True and "1" from different sources are the same class."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from datetime import date, datetime
from typing import Any


def label_text(value: Any) -> str | None:
    """Return a class label as text: ``1``, ``1.0``, ``True``, ``"1"`` give ``"1"``; None, NaN give None.

    Other text is unchanged.
    """
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return str(int(value))
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() else repr(number)


def label_texts(values: Iterable[Any]) -> list[str | None]:
    """Return :func:`label_text` of each value, computed once per distinct value."""
    known: dict[Any, str | None] = {}
    out: list[str | None] = []
    for value in values:
        try:
            out.append(known[value])
        except KeyError:
            out.append(known.setdefault(value, label_text(value)))
        except TypeError:  # not hashable, so not a label
            out.append(str(value))
    return out


def class_name(value: Any) -> str:
    """Return a class or category of model.yaml as the text that :func:`label_text` gives its values.

    Raises
    ------
    ValueError
        It is no name: a boolean (what YAML makes of an unquoted ``Yes``), null, an empty text, a list.
    """
    if isinstance(value, str) and value:
        return value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            if math.isfinite(value):
                return str(label_text(value))
    msg = (
        f"{_SHOWN.get(repr(value), repr(value))} is neither text nor a number: quote what the data spells, "
        "as in 'Yes'; a boolean column has the values 1 and 0"
    )
    raise ValueError(msg)


#: Python's values as YAML spells them.
_SHOWN = {"None": "null", "True": "true", "False": "false"}
