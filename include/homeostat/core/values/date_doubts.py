"""Doubt the order of day and month that a file takes from others, where its own dates speak against it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

#: A file whose dates have more than this many times as many months as days was probably read crosswise.
_MONTHS_PER_DAY = 2
#: Seconds by which an order may lengthen the time of all files, before a shorter one is more plausible.
_USUAL_GAP = 31 * 86_400.0

Ends = tuple[float, float]


class FileDates(Protocol):
    """The evidence of one file: see :class:`homeostat.core.values.date_orders.DateEvidence`."""

    ends: dict[str, dict[str, Ends]]
    seen: dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class OrderDoubt:
    """A file in whose dates another order than that of the other files is more plausible.

    ``taken`` and ``other`` are the orders, with the first and the last date in each, in seconds since 1970.
    """

    file: Hashable
    taken: str
    other: str
    taken_ends: Ends
    other_ends: Ends

    def describe(self) -> str:
        """Return the doubt in words: the dates that the file has in either order."""
        spans = (" to ".join(map(_day, ends)) for ends in (self.taken_ends, self.other_ends))
        return "in the order of the other files its dates are {}, in the other order {}".format(*spans)


def doubt_order(
    layout: str, order: str, others: Sequence[str], known: Sequence[Ends], files: Mapping[Hashable, FileDates]
) -> OrderDoubt | None:
    """Return why files that leave the order open probably have another one than the rest; None if not.

    There is doubt where the dates of a file would have several months and hardly any days (1 to 12 February
    read as the second of each month), or where all such files together would lengthen the time of the
    others by more than a month, and half of that or less in another order.

    Parameters
    ----------
    order, others
        The order of the other files, and those that fit as well.
    known
        The first and the last date of each of the other files.
    files
        The files that leave the order open.
    """
    for file, dates in files.items():
        counts = dict(zip(order, (bits.bit_count() for bits in dates.seen[layout]), strict=True))
        other = next((each for each in others if each.index("d") == order.index("m")), "")
        if other and counts["m"] > _MONTHS_PER_DAY * counts["d"]:
            return OrderDoubt(file, order, other, dates.ends[layout][order], dates.ends[layout][other])
    taken = _union([dates.ends[layout][order] for dates in files.values()])
    growth = _growth(known, taken)
    for other in others:
        ends = _union([dates.ends[layout][other] for dates in files.values()])
        if growth - 2 * _growth(known, ends) > _USUAL_GAP:
            return OrderDoubt(next(iter(files)), order, other, taken, ends)
    return None


def taken_note(taken: Mapping[str, str]) -> str:
    """Return which files do not tell day and month apart, and whose order they have; empty for none.

    Parameters
    ----------
    taken
        By the name of such a file, that of the file whose order it has.
    """
    if not taken:
        return ""
    file, source = next(iter(taken.items()))
    more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
    return f"day and month cannot be told apart in {file}{more}: read in the order of {source}"


def add_ends(mine: dict[str, dict[str, Ends]], other: Mapping[str, Mapping[str, Ends]]) -> None:
    """Extend the first and the last date of each layout and order by those of another part."""
    for layout, orders in other.items():
        own = mine.setdefault(layout, {})
        for order, ends in orders.items():
            own[order] = _union([own[order], ends]) if order in own else ends


def _union(spans: Sequence[Ends]) -> Ends:
    return min(low for low, _ in spans), max(high for _, high in spans)


def _growth(known: Sequence[Ends], span: Ends) -> float:
    before, after = _union(known), _union([*known, span])
    return (after[1] - after[0]) - (before[1] - before[0])


def _day(seconds: float) -> str:
    return str(np.datetime64(int(seconds), "s").astype("M8[D]"))
