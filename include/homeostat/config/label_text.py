"""The one text of a category or class: 1, 1.0, True, "1", "1.0" and "true" are the same category, "1".

- Whole numbers are their digits: ``3``, ``3.0``, ``"3.00"``, ``"3e+05"`` (that is 300000).
- Other numbers are the shortest decimal that reads back as the same float: ``0.1``, ``0.00001``.
- Booleans are ``1`` and ``0``.
- Text that a program writes for a whole number, for a number with an exponent or for a boolean is that
  number. All other text is unchanged, so ``007``, ``+1``, ``1.10`` and ``1e5`` stay what they are: codes and
  versions, of which no two become one.

A version keeps the rules that it was trained under, its *spelling*: :data:`SPELLING` now, 1 for bundles and
references of release 0.1, under which text was never changed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from typing import Any

#: The rules of today. What is stored without a number has :data:`FIRST_SPELLING`.
SPELLING = 2
FIRST_SPELLING = 1

_WHOLE = re.compile(r"(-?)(0|[1-9][0-9]*)(\.0+)?")
#: As C, Python, R, Java, JavaScript, SQL and Arrow write exponents; no program writes one below 4.
_EXPONENT = re.compile(
    r"-?[0-9](?:\.[0-9]+)?(?:e[+-]0*(?:[4-9]|[1-9][0-9]{1,2})|E[+-](?:0[4-9]|[1-9][0-9]{1,2}))"
    r"|-?[0-9]\.[0-9]+E-?(?:[4-9]|[1-9][0-9]{1,2})"
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_BOOLEANS = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}
_RECEIVED = " (as received)"
_NO_VALUE = frozenset({"NAType", "NaTType"})  # of pandas


def label_text(value: Any, spelling: int = SPELLING) -> str | None:
    """Return a category or class as text; None, NaN, NaT, NA and empty text give None.

    Parameters
    ----------
    spelling
        The rules: :data:`SPELLING`, or those of a version that was trained earlier.

    Raises
    ------
    OverflowError
        An integer beyond the range of floats.
    """
    if value is None or isinstance(value, str):
        return (_text(value) if value and spelling > FIRST_SPELLING else value) or None
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return str(int(value))
    return _first_number_text(value) if spelling == FIRST_SPELLING else _number_text(value)


def received_text(value: Any) -> str | None:
    """Return a value as the text that a log keeps: its spelling 1, and :func:`label_text` gives its others.

    Only whole numbers beyond 2**53 are kept exactly, which spelling 1 rounded.
    """
    return str(value) if type(value) is int else label_text(value, FIRST_SPELLING)


def received_name(name: str) -> str:
    """Return the column that holds a category as it was received, where that differs from its text now.

    Versions of release 0.1 predict from it, see :data:`FIRST_SPELLING`.
    """
    return f"{name}{_RECEIVED}"


def is_received_name(name: object) -> bool:
    """Return whether a column is one of :func:`received_name`."""
    return str(name).endswith(_RECEIVED)


def label_texts(values: Iterable[Any], spelling: int = SPELLING) -> list[str | None]:
    """Return :func:`label_text` of each value, computed once per distinct value."""
    known: dict[Any, str | None] = {}
    out: list[str | None] = []
    for value in values:
        try:
            out.append(known[value])
        except KeyError:
            out.append(known.setdefault(value, label_text(value, spelling)))
        except TypeError:  # not hashable, so not a label
            out.append(str(value))
    return out


def known_spelling(stored: Mapping[str, Any]) -> int:
    """Return the spelling in what a version stored; ValueError for that of a later release."""
    spelling = stored.get("spelling", FIRST_SPELLING)
    if spelling not in (FIRST_SPELLING, SPELLING):
        msg = f"categories are spelled by rules {spelling!r}, which this release does not know: update it"
        raise ValueError(msg)
    return int(spelling)


def is_number_text(text: str) -> bool:
    """Return whether a text of :func:`label_text` is that of a number or a boolean."""
    return _NUMBER.fullmatch(text) is not None


def _text(text: str) -> str:
    """Return the number or boolean that a program writes as this text; else the text."""
    last = text[-1]
    if last in "eE":
        return _BOOLEANS.get(text, text)
    if not "0" <= last <= "9":
        return text
    if whole := _WHOLE.fullmatch(text):
        return whole[2] if whole[2] == "0" else whole[1] + whole[2]
    if _EXPONENT.fullmatch(text) and math.isfinite(number := float(text)):
        return _float_text(number)
    return text


def _number_text(value: Any) -> str | None:
    if type(value).__name__ in _NO_VALUE:
        return None
    if isinstance(value, Decimal) and value.is_finite():
        return str(int(value)) if value == value.to_integral_value() else format(value.normalize(), "f")
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if math.isnan(number):
        return None
    if hasattr(value, "__index__"):
        return str(int(value))  # not through a float, which rounds beyond 2**53
    if getattr(value, "itemsize", 8) < 8:  # NumPy's 32-bit 0.1 is 0.1, not 0.10000000149011612
        number = float(str(value))
    return _float_text(number)


def _float_text(number: float) -> str:
    if number.is_integer():
        return str(int(number))
    return format(Decimal(repr(number)), "f") if math.isfinite(number) else repr(number)


def _first_number_text(value: Any) -> str | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if math.isnan(number):
        return None
    return str(int(number)) if number.is_integer() else repr(number)


def class_name(value: Any) -> str:
    """Return a class or category of model.yaml as the text that :func:`label_text` gives its values.

    Raises
    ------
    ValueError
        It is no name: null, an empty text, a list.
    """
    if isinstance(value, (str, bool)) and value != "":
        return str(label_text(value))
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, (int, float)):
        with suppress(OverflowError):
            if math.isfinite(value):
                return str(label_text(value))
    msg = f"{'null' if value is None else repr(value)} is neither text nor a number: quote what is text"
    raise ValueError(msg)
