"""Read columns of text as numbers or times by the definitions of ``core.values``, as drift checks do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.values.date_orders import decide_orders
from homeostat.core.values.dates import parse_dates, strptime_of, weigh_dates
from homeostat.core.values.missing import is_missing_word, missing_note
from homeostat.core.values.numbers import parse_numbers, weigh_numbers
from homeostat.core.values.spelling import decide_spelling

_INT64 = 2.0**63


@dataclass(frozen=True, slots=True)
class TextCells:
    """Numbers, or seconds since 1970, of shape (n,) and NaN where there is none; masks of what is none.

    ``mistyped`` cells are neither a value nor missing, ``too_large`` are integers beyond 64 bits,
    ``ambiguous`` are dates whose day and month cannot be told apart. ``note`` says how the text was read,
    empty for plain numbers and ISO dates.
    """

    numbers: np.ndarray
    mistyped: np.ndarray
    too_large: np.ndarray
    ambiguous: np.ndarray
    note: str = ""


def numbers_of(column: pd.Series) -> TextCells:
    """Read a column of text (missing cells allowed) as numbers of one spelling."""
    codes, distinct, rows_of = encode(column)
    words = is_missing_word(distinct).to_numpy(zero_copy_only=False)
    candidates = distinct.filter(pa.array(~words))
    spelling = decide_spelling(weigh_numbers(candidates, rows_of[~words]))
    numbers = parse_numbers(distinct, spelling)
    numbers[words] = np.nan
    digits = pc.match_substring_regex(distinct, r"^\s*[+-]?[0-9]+\s*$").to_numpy(zero_copy_only=False)
    too_large = digits & ((numbers >= _INT64) | (numbers < -_INT64))
    mistyped = np.isnan(numbers) & ~words
    described = spelling.describe()
    gone = zip(distinct.filter(pa.array(words)).to_pylist(), rows_of[words].tolist(), strict=True)
    note = "; ".join(filter(None, (f"read with {described}" if described else "", missing_note(dict(gone)))))
    none = np.zeros(len(distinct), dtype=bool)
    return _at(codes, numbers, mistyped, too_large, none, note)


def seconds_of(column: pd.Series, date_format: str = "") -> TextCells:
    """Read a column of text (missing cells allowed) as instants; a ``date_format`` as in `parse_dates`."""
    codes, distinct, rows_of = encode(column)
    evidence = weigh_dates(distinct, rows_of)
    decision = decide_orders({"": evidence})
    orders = decision.orders[""]
    seconds = parse_dates(distinct, orders, date_format)
    mistyped = np.isnan(seconds)
    ambiguous = np.zeros(len(distinct), dtype=bool)
    if decision.ambiguous and not date_format:
        guessed = {layout: fitting[0] for layout, fitting in decision.ambiguous.items()}
        ambiguous = mistyped & ~np.isnan(parse_dates(distinct, {**orders, **guessed}))
    layouts = sorted(item for item in orders.items() if item[0] not in ("iso", "name"))
    formats = " and ".join(strptime_of(*item) for item in layouts)
    note = f"read with dates as {formats}" if formats and not date_format else ""
    none = np.zeros(len(distinct), dtype=bool)
    return _at(codes, seconds, mistyped & ~ambiguous, none, ambiguous, note)


def whole_texts(column: pd.Series) -> pd.Series:
    """Return numbers as text, whole ones as their digits: 20240131 and 20240131.0 are "20240131"."""
    codes, values = pd.factorize(column)
    texts = [str(int(value)) if value == value // 1 else str(value) for value in values]
    return pd.Series(pd.array(texts, dtype="str").take(codes, allow_fill=True), index=column.index)


def encode(column: pd.Series) -> tuple[np.ndarray, pa.Array, np.ndarray]:
    """Return the code of each row (-1 when missing), the distinct texts and their rows."""
    codes, uniques = pd.factorize(column)
    texts = [
        str(text).encode("utf-8", "backslashreplace").decode() for text in uniques
    ]  # JSON may hold half a pair
    distinct = pa.array(texts, pa.string())
    return codes, distinct, np.bincount(codes[codes >= 0], minlength=len(distinct))


def _at(
    codes: np.ndarray,
    values: np.ndarray,
    mistyped: np.ndarray,
    too_large: np.ndarray,
    ambiguous: np.ndarray,
    note: str,
) -> TextCells:
    """Return what is known of the distinct texts for each row; the last entry is a missing cell."""
    masks = [np.append(each, [False])[codes] for each in (mistyped, too_large, ambiguous)]
    return TextCells(np.append(values, [np.nan])[codes], masks[0], masks[1], masks[2], note)
