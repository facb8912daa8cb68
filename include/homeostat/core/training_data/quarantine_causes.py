"""Why rows were quarantined, in words: the column, the rule, and a value that violates it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pandas as pd

from homeostat.core.values.text_hints import text_hint

#: Name of the column that says why a row was quarantined.
REASON = "reason"
#: What each fault of a value means.
FAULTS = {
    "mistyped": "not of the type in model.yaml",
    "ambiguous": "day and month cannot be told apart: write schema.timestamp_format, such as '%d/%m/%Y'",
    "infinite": "infinite",
    "too_large": "too large for a 64-bit integer or a 32-bit float",
    "unknown_class": "not in schema.label.classes",
}
#: So many causes are named.
_NAMED = 3
#: So many values are asked what they look like.
_HINTED = 1_000


@dataclass(frozen=True, slots=True)
class QuarantineCause:
    """A rule that rows violate: ``rule`` names the column and says what it asks, ``rows`` violate it."""

    rule: str
    rows: int


def fault_reason(column: str, fault: str) -> str:
    """Return the reason of a row whose value of this column has this fault."""
    return f"{column}: {fault}"


def fault_detail(fault: str, values: Iterable[Any]) -> str:
    """Return what is wrong with the values of this fault, with an example, and what to do if known."""
    values = list(islice(values, _HINTED))
    hint = text_hint(shortened(value, 200) for value in values) if fault == "mistyped" else ""
    return f"{FAULTS[fault]}, for example {shortened(values[0])}{f'; {hint}' if hint else ''}"


def coercion_causes(quarantined: pd.DataFrame) -> list[QuarantineCause]:
    """Return the faults of quarantined rows by column, each with an example.

    Parameters
    ----------
    quarantined
        Rows as they were found, with their reasons in :data:`REASON`, joined by ``"; "``.
    """
    reasons = quarantined[REASON].astype("str")
    distinct = Counter(reasons)
    causes = []
    for column in quarantined.columns[quarantined.columns != REASON]:
        for fault in FAULTS:
            one = fault_reason(str(column), fault)
            with_it = [text for text in distinct if f"; {one}; " in f"; {text}; "]
            if with_it:
                values = quarantined.loc[reasons.isin(with_it), column]
                rule = f"column '{column}' ({fault_detail(fault, values)})"
                causes.append(QuarantineCause(rule, sum(distinct[text] for text in with_it)))
    return causes


def causes_in_words(causes: Iterable[QuarantineCause]) -> str:
    """Return the most frequent causes: ``50 by column 'x' (...), 40 by ...``; "" without any."""
    ranked: Sequence[QuarantineCause] = sorted(causes, key=lambda cause: -cause.rows)
    named = ", ".join(f"{cause.rows} by {cause.rule}" for cause in ranked[:_NAMED])
    more = len(ranked) - _NAMED
    return f"{named} and {more} more rule{'s' if more > 1 else ''}" if more > 0 else named


def shortened(value: Any, length: int = 40) -> str:
    """Return a value for people: text in quotes, long ones cut."""
    try:
        text = repr(value) if isinstance(value, str) and length <= 40 else str(value)
    except ValueError:  # Python does not print integers of more than 4300 digits
        text = f"a {type(value).__name__} too long to show"
    return text if len(text) <= length else text[: length - 3] + "..."
