"""How the text of a column is read: as numbers of one spelling, as dates, or as text."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from homeostat.core.values.date_orders import DateOrders
from homeostat.core.values.numbers import PLAIN, Spelling

ReadingKind = Literal["numbers", "dates", "text"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How the text of a column of one table is read.

    Attributes
    ----------
    spellings
        By file, the spelling of numbers; of other files it is the usual one.
    codes
        Whether whole numbers with a leading zero are numbers, as in a feature of the type number.
    orders
        By file, the order of day, month and year in each layout of dates; empty when it is not known.
    listed
        The categories or classes of model.yaml.
    date_format
        The format that was asked for, of dates that it fits: one of ``strptime``, or a unit of numbers since
        1970.
    """

    kind: ReadingKind = "numbers"
    spellings: Mapping[Hashable, Spelling] = field(default_factory=dict)
    codes: bool = False
    orders: Mapping[Hashable, DateOrders] = field(default_factory=dict)
    date_format: str = ""
    listed: frozenset[str] = frozenset()

    @property
    def is_fixed(self) -> bool:
        """Whether nothing is left to find out from the values."""
        return self.kind == "text"

    def spelling_of(self, file: Hashable) -> Spelling:
        """Return how a file spells its numbers."""
        return self.spellings.get(file, PLAIN)

    def agrees(self, other: Reading, file: Hashable) -> bool:
        """Return whether a file's text that was read like this would read the same in the other way."""
        if self.kind != other.kind:
            return False
        if self.kind == "numbers":
            one, two = self.spelling_of(file), other.spelling_of(file)
            return (one.marks, one.unit, self.codes) == (two.marks, two.unit, other.codes)
        if self.kind == "dates":
            mine, theirs = self.orders.get(file, {}), other.orders.get(file, {})
            known = all(theirs.get(layout, "") == order for layout, order in mine.items())
            return known and self.date_format == other.date_format
        return True
