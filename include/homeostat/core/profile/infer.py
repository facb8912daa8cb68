"""Infer the kind of a column from its values.

The reference alone decides, because both tables are counted on its edges:

- Dates are a *datetime*, compared as numbers.
- Numbers, however the file spells them, are a *number*. They are a *category* when they are whole, at most
  ``MAX_CODES`` distinct values, and each has ``MIN_ROWS_PER_CODE`` rows on average (flags, weekdays,
  ratings); booleans are a category too, and 1, 1.0, true and "1" are one label.
- In a column of numbers, up to ``MAX_MISSING_MARKERS`` distinct texts (``?``, ``off``) are markers of missing
  values; any other text in the current table counts as "not a number".
- Everything else is text: a *category*, or an *id* when more than half of the rows hold a value that no
  other row holds. The values of an id have no distribution to compare.
- Lists, structs and bytes are *opaque*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from homeostat.config.label_text import label_text
from homeostat.core.profile.arrow_values import ArrowValues, detect_date_format, read_values
from homeostat.core.profile.coerce import Floats

ColumnKind = Literal["number", "category", "datetime", "id", "opaque", "empty"]

#: Whole numbers with at most this many distinct values are codes ...
MAX_CODES = 12
#: ... when each has this many rows on average.
MIN_ROWS_PER_CODE = 10
#: Up to this many distinct texts in a column of numbers are markers of missing values.
MAX_MISSING_MARKERS = 5
#: Distinct labels to keep; beyond twice as many the rarer half is dropped, and only its rows are counted.
MAX_LABELS = 50_000
#: Fewer values than this are no evidence of an order.
MIN_ORDERED = 20


@dataclass(slots=True)
class ColumnScan:
    """Statistics of a column so far; :meth:`add` takes it in batch by batch.

    With ``keep_numbers`` the numbers are kept, 8 bytes per row; otherwise memory does not grow with the rows.
    """

    keep_numbers: bool = False
    date_format_hint: str = ""  # the format of dates in the other table
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    texts: dict[str, int] = field(default_factory=dict)
    dropped: int = 0  # rows of labels that were too rare to keep
    dates: bool = False
    date_format: str | None = None  # of text; None until there is a value
    all_boolean: bool = True
    all_whole: bool = True
    codes: set[float] | None = field(default_factory=set)  # None when there are too many
    low: float = np.inf
    high: float = -np.inf
    least_step: float = np.inf
    greatest_step: float = -np.inf
    opaque: str = ""
    kept_numbers: list[Floats] = field(default_factory=list)
    _last: float = np.nan

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def text_rows(self) -> int:
        """Rows whose value is text."""
        return sum(self.texts.values()) + self.dropped

    @property
    def missing_rate(self) -> float | None:
        """Share of rows without a value; None without rows."""
        return self.missing / self.rows if self.rows else None

    def add(self, array: pa.Array) -> ArrowValues:
        """Take in more rows, and return their values."""
        values = read_values(array, self.date_format or "")
        if self.date_format is None and (values.numbers.size or values.texts):
            self.date_format = (
                "" if values.numbers.size else detect_date_format(values.texts, self.date_format_hint)
            )
            if self.date_format:
                values = read_values(array, self.date_format)
        self.rows += len(array)
        self.missing += values.missing
        self.opaque = self.opaque or values.opaque
        if values.numbers.size:
            self.all_boolean = self.all_boolean and pa.types.is_boolean(array.type)
            self._add_numbers(values)
        self._add_texts(values.texts)
        return values

    def _add_numbers(self, values: ArrowValues) -> None:
        numbers = values.numbers
        self.dates = values.dates if not self.numbers else self.dates and values.dates
        self.numbers += numbers.size
        if self.keep_numbers:
            self.kept_numbers.append(numbers)
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        self.all_whole = self.all_whole and bool((numbers == np.floor(numbers)).all())
        if self.codes is not None:
            found = self.codes.union(np.unique(numbers).tolist() if self.all_whole else ())
            self.codes = found if self.all_whole and len(found) <= MAX_CODES else None
        if self.least_step < 0 < self.greatest_step:
            return  # neither rising nor falling, whatever follows
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.diff(numbers, prepend=self._last)
        steps = steps[1:] if np.isnan(self._last) else steps
        self._last = float(numbers[-1])
        if steps.size:
            self.least_step = min(self.least_step, float(steps.min()))
            self.greatest_step = max(self.greatest_step, float(steps.max()))

    def _add_texts(self, texts: dict[str, int]) -> None:
        for label, rows in texts.items():
            self.texts[label] = self.texts.get(label, 0) + rows
        if len(self.texts) > 2 * MAX_LABELS:
            ranked = sorted(self.texts.items(), key=lambda item: -item[1])
            self.texts = dict(ranked[:MAX_LABELS])
            self.dropped += sum(rows for _, rows in ranked[MAX_LABELS:])

    def all_numbers(self) -> Floats:
        """Return the kept numbers, in their order."""
        return np.concatenate(self.kept_numbers) if self.kept_numbers else np.empty(0)

    def labels(self) -> dict[str, int]:
        """Return every value as a label, with its rows; needs ``keep_numbers``."""
        found = dict(self.texts)
        for label, rows in number_labels(self.all_numbers()).items():
            found[label] = found.get(label, 0) + rows
        return found


def number_labels(numbers: Floats) -> dict[str, int]:
    """Return numbers as labels, with their rows."""
    values, rows = np.unique(numbers + 0.0, return_counts=True)
    texts = (label_text(value) if np.isfinite(value) else str(value) for value in values.tolist())
    return {str(text): n for text, n in zip(texts, rows.tolist(), strict=True)}


def infer_kind(scan: ColumnScan) -> ColumnKind:
    """Return the kind of a column, by the rule at the top of this file; needs ``keep_numbers``."""
    if scan.opaque:
        return "opaque"
    if not scan.present:
        return "empty"
    if scan.dates and scan.numbers >= scan.text_rows:
        return "datetime"
    if scan.numbers >= scan.text_rows and len(scan.texts) <= MAX_MISSING_MARKERS:
        few = scan.codes is not None and scan.numbers >= MIN_ROWS_PER_CODE * len(scan.codes)
        return "category" if few or scan.all_boolean else "number"
    rare = scan.dropped + sum(1 for rows in scan.labels().values() if rows == 1)
    return "id" if 2 * rare > scan.present else "category"


def is_index_like(reference: ColumnScan, current: ColumnScan, outside: float) -> bool:
    """Return whether a column advances from row to row, so that two tables always differ in it.

    Parameters
    ----------
    reference, current
        The scans of both tables.
    outside
        Share of the current values beyond one end of the reference's range.

    Returns
    -------
    bool
        True for whole numbers or dates that rise (or fall) at every row of both tables, as a running number
        does; for numbers that never change direction in either table and are half outside; and for
        dates that are half outside, in any order.
    """
    moved = outside >= 0.5
    if reference.dates and current.dates and moved:
        return True
    if min(reference.numbers, current.numbers) < MIN_ORDERED:
        return False
    rises = min(reference.least_step, current.least_step)
    falls = max(reference.greatest_step, current.greatest_step)
    whole = reference.all_whole and current.all_whole
    running = (rises > 0 or falls < 0) and (whole or reference.dates)
    return running or (moved and (rises >= 0 or falls <= 0))


def value_family(scan: ColumnScan) -> str:
    """Return what most values are: ``dates``, ``numbers``, ``text``, or the type of a container.

    Empty when the column has no values.
    """
    if not scan.present or scan.opaque:
        return scan.opaque
    if scan.text_rows > scan.numbers:
        return "text"
    return "dates" if scan.dates else "numbers"
