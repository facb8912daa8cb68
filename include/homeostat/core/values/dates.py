"""Dates as text: the formats that are known, and which of day and month comes first.

A date has one of these layouts, with an optional time (``10:30``, ``T10:30:15.25``, ``10:30 PM``) and
zone (``Z``, ``+02:00``; without one it is UTC):

- year first: ``2024-01-31``, ``2024/1/31``, ``2024.01.31``, ``2024-01``, ``20240131T103000``
- month by its English name: ``31-Jan-2024``, ``31 January 24``, ``Jan 31, 2024``, ``Wed, 31 Jan 2024``, and
  as programs write it: ``Wed Jan 31 10:30:00 2024``, ``31JAN2024:10:30:00``, ``31/Jan/2024:10:30:00 +0000``
- with the signs of China, Japan and Korea: ``2024年1月31日``; a time with points, as Oracle and DB2 write it:
  ``31-JAN-24 10.30.00.000000 AM``, ``2024-01-31-10.30.00.000000``
- year last: ``31.01.2024``, ``31-01-2024``, ``1/31/2024``, with a year of two digits too

Two digits from 69 on are 1969 to 1999, the others 2000 to 2068, as in POSIX.
Year-last layouts do not say which field is the day: see :mod:`homeostat.core.values.date_orders`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import pandas as pd
import pyarrow as pa

from homeostat.config.date_format import EPOCH_UNITS, from_epoch
from homeostat.core.values.date_doubts import Ends
from homeostat.core.values.date_layouts import date_layouts
from homeostat.core.values.date_orders import DateEvidence, DateOrders
from homeostat.core.values.numbers import Floats, Ints, Mask, parse_numbers


def strptime_of(layout: str, order: str) -> str:
    """Return a layout with this order as a format: ``%d/%m/%Y``."""
    fields = {"d": "%d", "m": "%m", "y": "%Y" if layout[1:] == "4" else "%y"}
    return layout[0].join(fields[each] for each in order)


def weigh_dates(texts: pa.Array, rows: Ints) -> DateEvidence:
    """Return how many rows each order of each layout reads; ``rows[i]`` rows hold ``texts[i]``."""
    evidence = DateEvidence()
    for part in date_layouts(texts):
        found: dict[str, int] = {}
        ends: dict[str, Ends] = {}
        for order in part.possible:
            seconds = part.seconds(order)
            read = ~np.isnan(seconds)
            found[order] = int(rows[part.at][read].sum())
            if found[order] and len(part.possible) > 1:
                ends[order] = (float(seconds[read].min()), float(seconds[read].max()))
        evidence.add_all(DateEvidence({part.layout: found}, ends={part.layout: ends} if ends else {}))
        if len(part.possible) > 1:
            year = _bits(part.c) if part.layout[1:] == "2" else 0
            evidence.add_all(DateEvidence(seen={part.layout: (_bits(part.a), _bits(part.b), year)}))
    return evidence


def is_date(texts: pa.Array) -> Mask:
    """Return for each text whether it is a date in some order of day, month and year."""
    found = np.zeros(len(texts), dtype=bool)
    for part in date_layouts(texts):
        for order in part.possible:
            found[part.at] |= ~np.isnan(part.seconds(order))
    return found


def _bits(fields: Ints) -> int:
    return int(sum(1 << each for each in np.unique(fields).tolist()))


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
        counted = from_epoch(parse_numbers(texts), date_format)
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


def is_contradicted(date_format: str, orders: DateOrders) -> bool:
    """Return whether the dates of a file tell another order than this format."""
    return any(orders.get(layout, order) != order for layout, order in order_of(date_format).items())


def _parse_as(texts: pa.Array, date_format: str) -> Floats:
    column = pd.Series(texts.to_pylist(), dtype="str").str.strip()
    stamps = pd.to_datetime(column, format=date_format, errors="coerce", utc=True)
    read = stamps.notna().to_numpy(dtype=bool)
    seconds = np.full(len(texts), np.nan)
    naive = stamps[read].dt.tz_localize(None).to_numpy().astype("M8[us]")
    seconds[read] = naive.astype(np.int64) / 1e6
    return seconds
