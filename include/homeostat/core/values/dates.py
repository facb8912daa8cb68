"""Dates as text: the formats that are known, and which of day and month comes first.

A date has one of these layouts, with an optional time (``10:30``, ``T10:30:15.25``, ``10:30 PM``) and
zone (``Z``, ``+02:00``; without one it is UTC):

- year first: ``2024-01-31``, ``2024/1/31``, ``2024.01.31``, ``2024-01``, ``20240131T103000``
- month by its English name: ``31-Jan-2024``, ``31 January 24``, ``Jan 31, 2024``, ``Wed, 31 Jan 2024``, and
  as programs write it: ``Wed Jan 31 10:30:00 2024``, ``31JAN2024:10:30:00``, ``31/Jan/2024:10:30:00 +0000``
- year last: ``31.01.2024``, ``31-01-2024``, ``1/31/2024``, with a year of two digits too

Two digits from 69 on are 1969 to 1999, the others 2000 to 2068, as in POSIX. Year-last layouts do not say
which field is the day: the order that reads the most rows of a file is the file's. Where several read the
same, the other files of both tables decide, and where they do not, there is no guess.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa

from homeostat.config.date_format import EPOCH_UNITS
from homeostat.core.values.date_layouts import date_layouts
from homeostat.core.values.numbers import Floats, Ints, Mask, parse_numbers

#: Layouts with points are day first unless that does not fit: hardly anybody writes 01.31.2024.
_DAY_FIRST = "."


@dataclass(slots=True)
class DateEvidence:
    """How many rows each order of each layout reads; evidence of parts adds up.

    A layout is ``iso``, ``name``, or the mark and the digits of the year: ``/4``, ``-2``. For two-digit years
    ``seen`` holds the values of the first and the last field, as bits.
    """

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add_all(self, other: DateEvidence) -> None:
        """Add the evidence of another part of the column."""
        for layout, orders in other.rows.items():
            mine = self.rows.setdefault(layout, {})
            for order, rows in orders.items():
                mine[order] = mine.get(order, 0) + rows
        for layout, (first, last) in other.seen.items():
            own = self.seen.get(layout, (0, 0))
            self.seen[layout] = (own[0] | first, own[1] | last)

    @property
    def readable(self) -> int:
        """Rows that are dates, in the order that fits best."""
        return sum(max(orders.values(), default=0) for orders in self.rows.values())

    def orders(self, layout: str, seen: tuple[int, int] | None = None) -> tuple[str, ...]:
        """Return the orders that read the most rows of this layout; ``seen`` is that of all files."""
        rows = self.rows.get(layout, {})
        best = [order for order, n in rows.items() if n == max(rows.values()) and n]
        if "ymd" in best and len(best) > 1 and (seen := seen or self.seen.get(layout)):
            # Of the year and the day, the day has more values: 24-01-30, 24-01-31 or 30-01-24, 31-01-24.
            first, last = (bits.bit_count() for bits in seen)
            best = [each for each in best if (each == "ymd") is (first < last)] if first != last else best
        return tuple(best)


#: The order of each layout of a file.
DateOrders = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DateDecision:
    """The orders of each file of a column, and the layouts in which several orders fit."""

    orders: Mapping[Hashable, DateOrders]
    ambiguous: Mapping[str, tuple[str, ...]]


def decide_orders(evidence: Mapping[Hashable, DateEvidence]) -> DateDecision:
    """Decide for each file which field is the day; see the top of this file.

    Parameters
    ----------
    evidence
        By file, of all files of both tables.
    """
    orders: dict[Hashable, dict[str, str]] = {file: {} for file in evidence}
    ambiguous: dict[str, tuple[str, ...]] = {}
    whole = DateEvidence()
    for each in evidence.values():
        whole.add_all(each)
    for layout in sorted(whole.rows):
        fitting = {file: each.orders(layout, whole.seen.get(layout)) for file, each in evidence.items()}
        known = {found[0] for found in fitting.values() if len(found) == 1}
        for file, found in fitting.items():
            left = [order for order in found if order in known] if len(found) > 1 else list(found)
            left = left or (["dmy"] if layout[0] == _DAY_FIRST and "dmy" in found else list(found))
            if len(left) == 1:
                orders[file][layout] = left[0]
            elif left:
                ambiguous[layout] = tuple(dict.fromkeys((*ambiguous.get(layout, ()), *left)))
    return DateDecision(orders, ambiguous)


def strptime_of(layout: str, order: str) -> str:
    """Return a layout with this order as a format: ``%d/%m/%Y``."""
    fields = {"d": "%d", "m": "%m", "y": "%Y" if layout[1:] == "4" else "%y"}
    return layout[0].join(fields[each] for each in order)


def weigh_dates(texts: pa.Array, rows: Ints) -> DateEvidence:
    """Return how many rows each order of each layout reads; ``rows[i]`` rows hold ``texts[i]``."""
    evidence = DateEvidence()
    for part in date_layouts(texts):
        found: dict[str, int] = {}
        for order in part.possible:
            found[order] = int(rows[part.at][~np.isnan(part.seconds(order))].sum())
        evidence.add_all(DateEvidence({part.layout: found}))
        if part.layout[1:] == "2":
            bits = tuple(int(sum(1 << each for each in np.unique(one).tolist())) for one in (part.a, part.c))
            evidence.add_all(DateEvidence(seen={part.layout: (bits[0], bits[1])}))
    return evidence


def is_date(texts: pa.Array) -> Mask:
    """Return for each text whether it is a date in some order of day, month and year."""
    found = np.zeros(len(texts), dtype=bool)
    for part in date_layouts(texts):
        for order in part.possible:
            found[part.at] |= ~np.isnan(part.seconds(order))
    return found


def parse_dates(texts: pa.Array, orders: DateOrders, date_format: str = "") -> Floats:
    """Read texts as seconds since 1970 (UTC), NaN where a text is no date.

    Parameters
    ----------
    texts
        Without nulls.
    orders
        The order of each year-last layout of this file; a layout without one is not read.
    date_format
        A format of ``strptime``, or a unit in which numerals count from 1970, one of
        :data:`homeostat.config.date_format.EPOCH_UNITS`. Texts that it does not fit are read as without it;
        day and month have the format's order in all texts of its layout.
    """
    if date_format in EPOCH_UNITS:
        counted = parse_numbers(texts) / EPOCH_UNITS[date_format]
        return np.where(np.isnan(counted), parse_dates(texts, orders), counted)
    if date_format:
        found = _parse_as(texts, date_format)
        left = np.flatnonzero(np.isnan(found))
        if left.size:
            found[left] = parse_dates(texts.take(pa.array(left)), {**orders, **order_of(date_format)})
        return found
    try:
        zone = None if not len(texts) or len(str(texts[0])) < 20 else "UTC"
        stamps = texts.cast(pa.timestamp("us", zone))  # whole columns of one ISO form, at Arrow's speed
        return np.asarray(stamps.cast(pa.int64()).to_numpy() / 1e6)
    except pa.ArrowInvalid:
        pass
    seconds = np.full(len(texts), np.nan)
    for part in date_layouts(texts):
        order = orders.get(part.layout) or (part.possible[0] if len(part.possible) == 1 else "")
        if order:
            found = part.seconds(order)
            seconds[part.at] = np.where(np.isnan(found), seconds[part.at], found)
    return seconds


@lru_cache(maxsize=256)
def order_of(date_format: str) -> DateOrders:
    """Return the layout of texts in this format of ``strptime``, and its order; none for other layouts."""
    if "%" not in date_format:
        return {}
    day = datetime(2024, 1, 31, tzinfo=UTC)
    parts = date_layouts(pa.array([day.strftime(date_format)]))
    return {
        part.layout: order
        for part in parts
        for order in part.possible
        if part.seconds(order)[0] == day.timestamp()
    }


def _parse_as(texts: pa.Array, date_format: str) -> Floats:
    column = pd.Series(texts.to_pylist(), dtype="str").str.strip()
    stamps = pd.to_datetime(column, format=date_format, errors="coerce", utc=True)
    read = stamps.notna().to_numpy(dtype=bool)
    seconds = np.full(len(texts), np.nan)
    naive = stamps[read].dt.tz_localize(None).to_numpy().astype("M8[us]")
    seconds[read] = naive.astype(np.int64) / 1e6
    return seconds
