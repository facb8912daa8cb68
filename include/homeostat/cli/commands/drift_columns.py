"""One column of two tables: what it is, and both sides counted on the reference's edges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from homeostat.adapters.tables import Table
from homeostat.core.profile import CategoryFrame, Counts, FeatureFrame, Kind, NumberFrame, freeze
from homeostat.core.profile.arrow_values import Values
from homeostat.core.profile.binning import place_labels, place_numbers
from homeostat.core.profile.infer import MAX_WORDS, ColumnKind, Look, infer_kind, number_labels

#: Bytes of the reference's numbers in memory at a time, unless one column alone takes more.
HELD_BYTES = 256 * 2**20
#: Columns of the current side at a time, where a column costs less to read than all.
TOGETHER = 16

#: Told how much of the work was done, in columns.
Tick = Callable[[float], None]


@dataclass(slots=True)
class Column:
    """A column as far as it is known; what one side does not have is None there."""

    name: str
    kind: ColumnKind = "empty"
    in_reference: Look | None = None
    in_current: Look | None = None
    frame: FeatureFrame | None = None
    reference: Counts | None = None
    current: Counts | None = None
    blanks: frozenset[str] = field(default_factory=frozenset)  # words that say that a number is missing
    dates: bool = False

    def read(self, values: Values) -> Counts:
        """Count what was read on this column's edges.

        Words that are no numbers are unseen, apart from those that the reference has for "missing".
        Where dates are compared, a number is none, and the other way round.
        """
        assert self.frame is not None  # noqa: S101  # for mypy: only columns that have one are counted
        if isinstance(self.frame, NumberFrame):
            blank = sum(rows for word, rows in values.words.items() if word in self.blanks)
            strange = sum(values.words.values()) - blank
            pieces = [values.numbers]
            if values.numbers.size and values.dates != self.dates:
                pieces, strange = [np.empty(0)], strange + values.numbers.size
            counts = place_numbers(self.frame, pieces, strangers=strange)
            return Counts(self.frame, counts.slots, values.missing + blank, counts.unseen)
        labels = dict(values.words)
        for label, rows in number_labels(values.numbers).items():
            labels[label] = labels.get(label, 0) + rows
        return self._placed(labels, values.missing)

    def _placed(self, labels: dict[str, int], missing: int) -> Counts:
        rows = np.fromiter(labels.values(), dtype=np.int64, count=len(labels))
        return place_labels(self.frame, rows, list(labels), missing=missing)  # type: ignore[arg-type]

    def settle(self, wanted: Kind | None) -> None:
        """Decide on the kind, freeze the edges, count the reference, and let its values go."""
        look = self.in_reference
        assert look is not None  # noqa: S101  # for mypy: called for columns of the reference
        self.kind = infer_kind(look)
        if wanted and self.kind not in ("opaque", "empty"):
            self.kind = wanted
        if self.kind in ("number", "datetime"):
            self.dates = look.dates and look.numbers > 0
            if len(look.words) <= MAX_WORDS:
                self.blanks = frozenset(look.words)
            numbers = look.all_numbers()
            self.frame = freeze(pd.DataFrame({"": numbers}), {"": "number"}).features[""]
            self.reference = self.read(Values(numbers, look.words, look.missing, self.dates))
            lost = look.spilt  # words beyond those that were kept
            counts = self.reference
            self.reference = Counts(self.frame, counts.slots, counts.missing, counts.unseen + lost)
        elif self.kind == "category":
            labels = look.labels()
            codes = np.repeat(np.arange(len(labels), dtype=np.int32), list(labels.values()))
            column = pd.Categorical.from_codes(codes, pd.Index(list(labels), dtype=object))
            frame = freeze(pd.DataFrame({"": column}), {"": "category"}).features[""]
            if look.spilt and isinstance(frame, CategoryFrame):
                self.frame = replace(frame, rest=(), open=True)  # what was too rare to keep is not unseen
            else:
                self.frame = frame
                self.reference = self._placed(labels, look.missing)
        look.held.clear()


def look_at_reference(columns: Sequence[Column], table: Table, wanted: dict[str, Kind], tick: Tick) -> None:
    """Read the reference's columns, as many at a time as memory is meant to hold, and freeze their edges."""
    for some in _groups(columns, max(1, HELD_BYTES // (8 * max(1, table.about_rows)))):
        looks = {column.name: Look(hold=True) for column in some}
        for batch in table.batches(list(looks)):
            for name, look in looks.items():
                look.add(batch.column(name))
            tick(len(some) * batch.num_rows / max(1, table.about_rows))
        for column in some:
            column.in_reference = looks[column.name]
            column.settle(wanted.get(column.name))
        again = [column for column in some if column.frame is not None and column.reference is None]
        if (
            again
        ):  # some of their labels were put together on the way: counted now that those that stay are known
            _count(again, table, lambda column, counts: setattr(column, "reference", counts))


def look_at_current(columns: Sequence[Column], table: Table, tick: Tick) -> None:
    """Read the current columns batch by batch, and count them where the reference has edges."""

    def keep(column: Column, counts: Counts | None) -> None:
        column.current = counts

    for some in _groups(columns, TOGETHER if table.by_column else len(columns)):
        looks = {column.name: Look(likely=_date_format(column)) for column in some}
        _count(some, table, keep, looks, tick)
        for column in some:
            column.in_current = looks[column.name]


def _count(
    columns: Sequence[Column],
    table: Table,
    keep: Callable[[Column, Counts], None],
    looks: dict[str, Look] | None = None,
    tick: Tick = lambda _: None,
) -> None:
    looks = looks or {column.name: Look(likely=_date_format(column)) for column in columns}
    counts = {
        column.name: Counts(column.frame, np.zeros(column.frame.size, dtype=np.int64))
        for column in columns
        if column.frame is not None
    }
    for batch in table.batches(list(looks)):
        for column in columns:
            values = looks[column.name].add(batch.column(column.name))
            if column.name in counts:
                counts[column.name] += column.read(values)
        tick(len(columns) * batch.num_rows / max(1, table.about_rows))
    for column in columns:
        if column.name in counts:
            keep(column, counts[column.name])


def _date_format(column: Column) -> str:
    return (column.in_reference.date_format or "") if column.in_reference else ""


def _groups(columns: Sequence[Column], size: int) -> list[Sequence[Column]]:
    return [columns[at : at + size] for at in range(0, len(columns), max(1, size))]
