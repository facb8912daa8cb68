"""Infer how a column is read, from both tables together, and its kind.

The reference decides what a column is, because both tables are counted on its edges; the current table
decides where the reference has no values, and both decide how numbers and dates are spelled
(:mod:`homeostat.core.values`). The order of the rows decides nothing.

- Dates are a *datetime*, compared as numbers.
- Numbers, however the file spells them, are a *number*. They are a *category* when they are whole, at most
  ``MAX_CODES`` distinct values, and each has ``MIN_ROWS_PER_CODE`` rows on average (flags, weekdays,
  ratings); booleans are a category too, and 1, 1.0, true and "1" are one label.
- A column holds numbers (or dates) when at least half of its values are, and other words are rare: at most
  ``MAX_WORDS`` of the rest, once words are set aside that ``MARKER_SHARE`` of the rows share (``closed``).
  Words that the reference has more than once then mean a missing value; others are "not a number", and so
  are numbers in another spelling than their file's.
- Whole numbers of which ``MARKER_SHARE`` have a leading zero are codes: text. Where fewer have one, they
  are numbers.
- Everything else is text: a *category*, or an *id* when more than half of the rows hold a value that no
  other row holds. The values of an id have no distribution to compare.
- Lists, structs and bytes are *opaque*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from homeostat.core.profile.reading import Reading, ReadingKind
from homeostat.core.profile.scan import ColumnScan, dates_by_file
from homeostat.core.values.date_orders import decide_orders
from homeostat.core.values.dates import is_date, order_of
from homeostat.core.values.missing import is_missing_word
from homeostat.core.values.numbers import is_code, is_number
from homeostat.core.values.spelling import decide_spellings, has_marks_between_thousands, has_mixed_marks

ColumnKind = Literal["number", "category", "datetime", "id", "opaque", "empty"]

#: Whole numbers with few distinct values are codes when each has this many rows on average.
MIN_ROWS_PER_CODE = 10
#: Largest share of words in a column of numbers or dates, apart from words that this share of the rows has.
MAX_WORDS, MARKER_SHARE = 0.1, 0.01
#: Fewer numbers than this are no evidence of an index.
MIN_INDEX = 20
#: Stands for numbers like 1,234 and 1.234 in one table, whose decimal mark cannot be known.
MIXED_MARKS = "1,234"
#: Dates advance with time when this share of them is later than all of the reference's.
MIN_LATER = 0.9


def decide_reading(
    reference: ColumnScan, current: ColumnScan | None, asked: Reading | None = None
) -> tuple[Reading, Reading, Mapping[str, tuple[str, ...]]]:
    """Decide how to read a column of both tables.

    Parameters
    ----------
    reference, current
        The scans; ``current`` is None before there is one.
    asked
        The reading that model.yaml or the command line asks for.

    Returns
    -------
    reference, current, ambiguous
        The readings, and what cannot be told apart: the layouts of dates with the orders that fit, or
        :data:`MIXED_MARKS`.
    """
    both = [reference, current] if current else [reference]
    if asked is not None and asked.is_fixed:
        return asked, asked, {}
    decisive = next((scan for scan in both if scan.typed + scan.text_cells), reference)
    kind = asked.kind if asked else reading_kind(decisive)
    date_format = asked.date_format if asked else ""
    if kind == "dates":
        decision = decide_orders(dates_by_file(*both), order_of(date_format))
        readings = [
            Reading(
                "dates",
                orders={f: decision.orders[at, f] for f in scan.date_evidence},
                date_format=date_format,
            )
            for at, scan in enumerate(both)
        ]
        return readings[0], readings[-1], _notable(decision.ambiguous, both)
    if kind == "text":
        return Reading("text"), Reading("text"), {}
    evidence = {(at, f): each for at, scan in enumerate(both) for f, each in scan.number_evidence.items()}
    spellings = decide_spellings(evidence)
    codes = [asked.codes if asked else bool(s.code_cells) and not _has_codes(s, MARKER_SHARE) for s in both]
    readings = [
        Reading(
            spellings={f: spellings[at, f] for f, each in scan.number_evidence.items() if each.readable},
            codes=codes[at],
        )
        for at, scan in enumerate(both)
    ]
    mixed = any(has_mixed_marks(scan.number_evidence.values(), evidence.values()) for scan in both)
    return readings[0], readings[-1], {MIXED_MARKS: ()} if mixed else {}


def is_doubtful(scans: Sequence[ColumnScan]) -> bool:
    """Return whether points that were read as decimal points may stand between thousands: 1.234,5."""
    if all(scan.weighed_exactly for scan in scans):
        return False
    evidence = [each for scan in scans for each in scan.number_evidence.values()]
    commas = any(
        100 * sum(each.commas for each in scan.number_evidence.values()) >= max(1, scan.text_cells)
        for scan in scans
    )
    return commas or has_marks_between_thousands(evidence)


def _notable(
    ambiguous: Mapping[str, tuple[str, ...]], scans: Sequence[ColumnScan]
) -> Mapping[str, tuple[str, ...]]:
    """Return the layouts that more than ``MAX_WORDS`` of a table's dates have; the others are words."""
    found = {}
    for layout, orders in ambiguous.items():
        for scan in scans:
            rows = sum(
                max(each.rows.get(layout, {}).values(), default=0) for each in scan.date_evidence.values()
            )
            if rows > MAX_WORDS * (scan.date_cells + scan.typed):
                found[layout] = orders
    return found


def reading_kind(scan: ColumnScan) -> ReadingKind:
    """Return what the values of one table are, by the rule at the top of this file."""
    numbers = scan.number_cells + (0 if scan.typed_dates else scan.typed)
    dates = scan.date_cells + (scan.typed if scan.typed_dates else 0)
    cells = scan.typed + scan.text_cells
    if not cells:
        return "numbers"
    if dates > numbers and _mostly("dates", dates, cells, scan):
        return "dates"
    if scan.all_whole and _has_codes(scan, MARKER_SHARE):
        return "text"
    return "numbers" if numbers and _mostly("numbers", numbers, cells, scan) else "text"


def _has_codes(scan: ColumnScan, share: float) -> bool:
    """Return whether this share of the values, and more than one, are whole numbers with a leading zero."""
    return scan.code_cells >= max(2.0, share * (scan.typed + scan.text_cells))


def _mostly(kind: ReadingKind, read: int, cells: int, scan: ColumnScan) -> bool:
    if 2 * read < cells:
        return False
    markers = missing_markers(scan, kind, max(2.0, MARKER_SHARE * cells))
    unread = cells - read - sum(scan.texts[text] for text in markers)
    return unread <= MAX_WORDS * (read + unread)


def missing_markers(scan: ColumnScan, kind: ReadingKind, least: float = 2) -> frozenset[str]:
    """Return the texts of at least so many rows that stand for a missing number or date.

    A number in another spelling than its file's is a number, and so is a date in another order: whether they
    are among the texts depends on what the column was read as until now. So it does with words for "missing".
    """
    frequent = [text for text, rows in scan.texts.items() if rows >= least]
    if not frequent:
        return frozenset()
    texts = pa.array(frequent, pa.string())
    values = is_date(texts) if kind == "dates" else is_number(texts) & ~is_code(texts)
    values |= np.asarray(is_missing_word(texts))
    return frozenset(text for text, value in zip(frequent, values.tolist(), strict=True) if not value)


def infer_kind(scan: ColumnScan, kind: ReadingKind) -> ColumnKind:
    """Return the kind of a column that is read as ``kind`` and settled; needs ``keep_numbers``."""
    if scan.opaque:
        return "opaque"
    if not scan.present:
        return "empty"
    if kind == "dates":
        return "datetime"
    if kind == "numbers":
        few = scan.codes is not None and scan.numbers >= MIN_ROWS_PER_CODE * len(scan.codes)
        return "category" if scan.numbers and (few or scan.all_boolean) else "number"
    rare = scan.dropped + sum(1 for rows in scan.labels().values() if rows == 1)
    return "id" if 2 * rare > scan.present else "category"


def is_index_like(reference: ColumnScan, current: ColumnScan, outside: float) -> bool:
    """Return whether a column only numbers its rows or advances with time, so that it says nothing of drift.

    A constant never does, nor do values that are measures for all that can be known. The order of the rows
    does not matter: a sorted column is as good as another.

    Parameters
    ----------
    reference, current
        The scans of both tables.
    outside
        Share of the current values beyond one end of the reference's range.

    Returns
    -------
    bool
        True for dates of which ``MIN_LATER`` are later (or earlier) than all of the reference's; and for
        whole numbers of which none occurs twice in either table, which lie so close that measures would
        repeat some, and of which all current ones lie beyond the reference's; or that number the rows anew
        (see :func:`restarts`).
    """
    if not (reference.low < reference.high and current.low < current.high):
        return False
    if reference.dates and current.dates:
        return outside >= MIN_LATER
    if min(reference.numbers, current.numbers) < MIN_INDEX:
        return False
    beyond = current.low > reference.high or current.high < reference.low
    scans = (reference, current)
    if beyond:
        return all(each.all_whole and each.distinct.is_dense(each.low, each.high) for each in scans)
    return restarts(reference, current)


def restarts(reference: ColumnScan, current: ColumnScan) -> bool:
    """Return whether both tables number their rows from the same first number, with no gap.

    Such numbers tell only how many rows a table has. Of equally many rows they are the same.
    """
    if reference.low != current.low or reference.high == current.high:
        return False
    step = reference.distinct.step
    return step == current.distinct.step and all(
        each.all_whole and each.distinct.is_complete(each.low, each.high) for each in (reference, current)
    )


def value_family(scan: ColumnScan) -> str:
    """Return what most values are: ``dates``, ``numbers``, ``text``, or the type of a container.

    Empty when the column has no values.
    """
    if not (scan.typed or scan.text_cells) or scan.opaque:
        return scan.opaque
    return "dates" if scan.dates and 2 * scan.numbers >= scan.present else reading_kind(scan)


def value_families(reference: ColumnScan, current: ColumnScan) -> tuple[str, str]:
    """Return :func:`value_family` of both tables.

    A table with nearly as many leading zeros as codes have is of the reference's family.
    """
    before, now = value_family(reference), value_family(current)
    zeros = all(_has_codes(scan, MARKER_SHARE / 4) for scan in (reference, current))
    return before, before if zeros and {before, now} == {"text", "numbers"} else now
