"""One spelling for labels, so that 1, 1.0, True and "1" from different sources are the same class."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def label_text(value: Any) -> str | None:
    """Spell one class label: ``1``, ``1.0``, ``True`` and ``"1"`` all give ``"1"``; None and NaN give None.

    Text that is not a number is kept as it is.
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
    """:func:`label_text` of each, spelling every distinct value once."""
    known: dict[Any, str | None] = {}
    out: list[str | None] = []
    for value in values:
        try:
            out.append(known[value])
        except KeyError:
            out.append(known.setdefault(value, label_text(value)))
        except TypeError:  # not hashable, so not a label either
            out.append(str(value))
    return out
