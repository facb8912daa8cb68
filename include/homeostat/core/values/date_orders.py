"""Decide which of day and month comes first in dates that do not say it, from all files of both tables.

The order that reads the most rows of a file is the file's. Where several read the same, the other files of
both tables decide, and where they do not, or where the dates of the file speak against it
(:mod:`homeostat.core.values.date_doubts`), there is no guess.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from homeostat.core.values.date_doubts import Ends, OrderDoubt, add_ends, doubt_order

#: Layouts with points are day first unless that does not fit: hardly anybody writes 01.31.2024.
_DAY_FIRST = "."
#: A format fits a file when it reads at least this share of what the file's own order reads.
MIN_FIT = 0.9


@dataclass(slots=True)
class DateEvidence:
    """How many rows each order of each layout reads; evidence of parts adds up.

    A layout is ``iso``, ``name``, or the mark and the digits of the year: ``/4``, ``-2``. Of year-last
    layouts ``seen`` holds the values of the three fields, as bits (0 for years of four digits), and ``ends``
    the first and the last date in each order.
    """

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    ends: dict[str, dict[str, Ends]] = field(default_factory=dict)

    def add_all(self, other: DateEvidence) -> None:
        """Add the evidence of another part of the column."""
        for layout, orders in other.rows.items():
            mine = self.rows.setdefault(layout, {})
            for order, rows in orders.items():
                mine[order] = mine.get(order, 0) + rows
        for layout, (first, middle, last) in other.seen.items():
            own = self.seen.get(layout, (0, 0, 0))
            self.seen[layout] = (own[0] | first, own[1] | middle, own[2] | last)
        add_ends(self.ends, other.ends)

    @property
    def readable(self) -> int:
        """Rows that are dates, in the order that fits best."""
        return sum(max(orders.values(), default=0) for orders in self.rows.values())

    def orders(self, layout: str, seen: tuple[int, int, int] | None = None) -> tuple[str, ...]:
        """Return the orders that read the most rows of this layout; ``seen`` is that of all files."""
        rows = self.rows.get(layout, {})
        best = [order for order, n in rows.items() if n == max(rows.values()) and n]
        if "ymd" in best and len(best) > 1 and (seen := seen or self.seen.get(layout)):
            # Of the year and the day, the day has more values: 24-01-30, 24-01-31 or 30-01-24, 31-01-24.
            first, _, last = (bits.bit_count() for bits in seen)
            best = [each for each in best if (each == "ymd") is (first < last)] if first != last else best
        return tuple(best)


#: The order of each layout of a file.
DateOrders = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DateDecision:
    """The orders of each file of a column, and the layouts in which several orders fit.

    ``taken`` names for each file that does not tell its order one whose order it has. ``doubts`` are the
    layouts that are ambiguous because such a file probably has another order.
    """

    orders: Mapping[Hashable, DateOrders]
    ambiguous: Mapping[str, tuple[str, ...]]
    taken: Mapping[Hashable, Hashable] = field(default_factory=dict)
    doubts: Mapping[str, OrderDoubt] = field(default_factory=dict)


def decide_orders(evidence: Mapping[Hashable, DateEvidence], asked: DateOrders | None = None) -> DateDecision:
    """Decide for each file which field is the day; see the top of this file.

    Parameters
    ----------
    evidence
        By file, of all files of both tables.
    asked
        The order of a layout, as a format that was asked for says. Files that it does not fit keep their own
        where it fits another.
    """
    orders: dict[Hashable, dict[str, str]] = {file: {} for file in evidence}
    ambiguous: dict[str, tuple[str, ...]] = {}
    taken: dict[Hashable, Hashable] = {}
    doubts: dict[str, OrderDoubt] = {}
    whole = DateEvidence()
    for each in evidence.values():
        whole.add_all(each)
    for layout in sorted(whole.rows):
        fitting = {file: each.orders(layout, whole.seen.get(layout)) for file, each in evidence.items()}
        sure = {file: found[0] for file, found in fitting.items() if len(found) == 1}
        if asked and layout in asked:
            for file, order in _asked_orders(layout, asked[layout], fitting, evidence).items():
                orders[file][layout] = order
            continue
        open_files = {file: found for file, found in fitting.items() if len(found) > 1}
        doubt = _doubt(layout, sure, open_files, evidence)
        for file, found in fitting.items():
            left = [order for order in found if order in sure.values()] if len(found) > 1 else list(found)
            left = left or (["dmy"] if layout[0] == _DAY_FIRST and "dmy" in found else list(found))
            if len(found) > 1 and doubt:
                doubts[layout] = doubt
                ambiguous[layout] = (doubt.other, doubt.taken)
            elif len(left) == 1:
                orders[file][layout] = left[0]
                if len(found) > 1 and sure:
                    taken[file] = next(each for each, order in sure.items() if order == left[0])
            elif left:
                ambiguous[layout] = tuple(dict.fromkeys((*ambiguous.get(layout, ()), *left)))
    return DateDecision(orders, ambiguous, taken, doubts)


def _asked_orders(
    layout: str,
    asked: str,
    fitting: Mapping[Hashable, tuple[str, ...]],
    evidence: Mapping[Hashable, DateEvidence],
) -> dict[Hashable, str]:
    rows = {file: evidence[file].rows[layout] for file, found in fitting.items() if found}
    fits = {file for file, each in rows.items() if each.get(asked, 0) >= MIN_FIT * max(each.values())}
    return {file: asked if file in fits or not fits else fitting[file][0] for file in rows}


def _doubt(
    layout: str,
    sure: Mapping[Hashable, str],
    open_files: Mapping[Hashable, tuple[str, ...]],
    evidence: Mapping[Hashable, DateEvidence],
) -> OrderDoubt | None:
    """Return why the open files probably have another order than all the sure ones."""
    if not open_files or len(set(sure.values())) != 1:
        return None
    order = next(iter(sure.values()))
    known = [evidence[file].ends[layout][order] for file in sure]
    fitting = {file: found for file, found in open_files.items() if order in found}
    others = set.intersection(*map(set, fitting.values())) - {order} if fitting else set()
    if not others:
        return None
    return doubt_order(layout, order, sorted(others), known, {file: evidence[file] for file in fitting})
