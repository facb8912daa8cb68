"""Scan every column of one table: its kind, its values, and how they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from homeostat.adapters.tables import Table, file_of
from homeostat.core.profile.infer import (
    ColumnKind,
    decide_reading,
    infer_kind,
    is_doubtful,
    missing_markers,
)
from homeostat.core.profile.notes import ambiguous_note
from homeostat.core.profile.reading import Reading
from homeostat.core.profile.scan import ColumnScan, dates_by_file
from homeostat.core.values.date_orders import decide_orders

#: Bytes of numbers in memory at a time; one column alone may take more.
_MAX_KEPT_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class ScannedColumn:
    """What one column of a table holds.

    Attributes
    ----------
    rows, missing
        All rows, and those without a value.
    unread
        Rows of text in a column of numbers or dates that is no word for "missing".
    low, high
        Ends of the numbers (of dates: seconds since 1970); inf and -inf without any.
    whole
        Whether all numbers are whole.
    labels
        Rows of each value, where the column is a category or has at most a few numbers.
    counts_rows
        Whether whole numbers only count the rows: none occurs twice, though measures would repeat.
    seconds
        Times of the rows, sorted, in seconds since 1970; empty where the column has no dates.
    plain
        Ends of the numbers before anything was read as dates: what an epoch counts.
    doubt
        Why dates or numbers cannot be read; empty when they can.
    """

    name: str
    kind: ColumnKind
    rows: int
    missing: int
    unread: int = 0
    low: float = np.inf
    high: float = -np.inf
    whole: bool = False
    labels: Mapping[str, int] = field(default_factory=dict)
    counts_rows: bool = False
    seconds: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    plain: tuple[float, float] = (np.inf, -np.inf)
    doubt: str = ""

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def constant(self) -> bool:
        """Whether every row has the same value."""
        one = len(self.labels) == 1 if self.kind in ("category", "id") else self.low == self.high
        return one and not self.missing and not self.unread

    def describe(self) -> str:
        """Return in words what the column holds, for an error."""
        example = next(iter(self.labels), "")
        return {
            "id": f"a different text in most rows, such as {example!r},",
            "category": f"{len(self.labels):,} different values, such as {example!r},",
            "datetime": "dates",
            "number": f"numbers from {self.low:g} to {self.high:g}",
            "opaque": "lists or bytes",
            "empty": "no value",
        }[self.kind]


def scan_table(table: Table, date_formats: Mapping[str, str]) -> dict[str, ScannedColumn]:
    """Scan all columns, as many at a time as fit into memory.

    Parameters
    ----------
    date_formats
        Formats of columns whose dates cannot be told from their values.
    """
    asked = {name: Reading("dates", date_format=text) for name, text in date_formats.items()}
    most = max(1, _MAX_KEPT_BYTES // (8 * max(1, table.about_rows)))
    size = min(most, table.columns_per_pass)
    found: dict[str, ScannedColumn] = {}
    for at in range(0, len(table.names), size):
        scans = _scan(
            table,
            {
                name: ColumnScan(keep_numbers=True, asked=asked.get(name))
                for name in table.names[at : at + size]
            },
        )
        readings = {name: decide_reading(scan, None, scan.asked) for name, scan in scans.items()}
        again = {
            name: ColumnScan(keep_numbers=True, reading=readings[name][0], asked=scan.asked)
            for name, scan in scans.items()
            if not readings[name][2] and (not scan.agrees(readings[name][0]) or is_doubtful([scan]))
        }
        scans |= _scan(table, again) if again else {}
        for name, scan in scans.items():
            reading, _, ambiguous = readings[name]
            doubt = ""
            if ambiguous:
                doubts = decide_orders(dates_by_file(scan)).doubts
                doubt = ambiguous_note(ambiguous, name, doubts)
            found[name] = _result(name, scan, reading, doubt)
    return found


def _scan(table: Table, scans: dict[str, ColumnScan]) -> dict[str, ColumnScan]:
    for batch in table.batches(list(scans), codes=True):
        file = file_of(batch)
        for name, scan in scans.items():
            scan.add(batch.column(name), file)
    return scans


def _result(name: str, scan: ColumnScan, reading: Reading, doubt: str) -> ScannedColumn:
    scan.settle(words_are_values=scan.words_are_values(reading))
    kind = infer_kind(scan, reading.kind)
    missing, unread = scan.missing, 0
    if kind in ("number", "datetime"):
        marked = sum(scan.texts[text] for text in missing_markers(scan, reading.kind))
        missing, unread = missing + marked, scan.text_rows - marked
    numbers = scan.all_numbers()
    scan.kept_numbers.clear()
    few = kind in ("category", "id") or scan.codes is not None
    labels = {}
    if few:
        scan.kept_numbers.append(numbers)
        labels = scan.labels()
    seconds = np.sort(np.asarray(numbers, dtype=np.float64)) if kind == "datetime" else np.empty(0)
    return ScannedColumn(
        name=name,
        kind=kind,
        rows=scan.rows,
        missing=missing,
        unread=unread,
        low=scan.low,
        high=scan.high,
        whole=scan.all_whole,
        labels=labels,
        counts_rows=scan.all_whole and not scan.dates and scan.distinct.is_dense(scan.low, scan.high),
        seconds=seconds[np.isfinite(seconds)],
        plain=(scan.plain_low, scan.plain_high),
        doubt=doubt,
    )
