"""Read the tables of a flatbuffer from an untrusted file: every read is inside its bytes, or an error."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

import numpy as np

from homeostat.bundle.boosters.trees import refuse


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a flatbuffer: where it is in the data."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Self:
        """Return the table that the data begin with."""
        return cls(data, number("<I", data, 0))

    def offset(self, field: int) -> int:
        """Return where a field is; 0 where the table has none."""
        vtable = self.at - number("<i", self.data, self.at)
        if 4 + 2 * field >= number("<H", self.data, vtable):
            return 0
        inside = number("<H", self.data, vtable + 4 + 2 * field)
        return self.at + inside if inside else 0

    def vector(self, field: int, kind: str) -> np.ndarray:
        """Return a vector of numbers of this NumPy type; empty where the table has none."""
        at = self.offset(field)
        if not at:
            return np.zeros(0, kind)
        at += number("<I", self.data, at)
        count = number("<I", self.data, at)
        return np.frombuffer(self.data, kind, count, at + 4)

    def table(self, field: int) -> Table:
        """Return an inner table; Untrusted where there is none."""
        at = self.offset(field)
        if not at:
            raise refuse("a part too few")
        return Table(self.data, at + number("<I", self.data, at))

    def tables(self, field: int) -> list[Table]:
        """Return a vector of tables; empty where the table has none."""
        at = self.offset(field)
        if not at:
            return []
        at += number("<I", self.data, at)
        first, count = at + 4, number("<I", self.data, at)
        if count > len(self.data):
            raise refuse("more features than bytes")
        places = range(first, first + 4 * count, 4)
        return [Table(self.data, place + number("<I", self.data, place)) for place in places]

    def texts(self, field: int) -> list[bytes]:
        """Return a vector of texts; empty where the table has none."""
        found = []
        for each in self.tables(field):  # a text is where a table would be
            count = number("<I", self.data, each.at)
            text = self.data[each.at + 4 : each.at + 4 + count]
            if len(text) != count:
                raise refuse("a text outside the file")
            found.append(text)
        return found

    def scalar(self, field: int, kind: str, default: int = 0) -> int:
        """Return a number of this format of :mod:`struct`; the default where the table has none."""
        at = self.offset(field)
        return number(kind, self.data, at) if at else default


def number(kind: str, data: bytes, at: int) -> int:
    """Return the number at a place; struct.error where the bytes end before it."""
    if at < 0:
        raise refuse("an offset before its file")
    found: int = struct.unpack_from(kind, data, at)[0]
    return found
