"""What kind a column is, told from its values.

The rule, which the reference alone decides, as its frames are the ones that both sides are counted on:
values that are dates make a *datetime*, compared as numbers. Values that are numbers, however the file
spells them, make a *number*, unless they are whole and at most 12 different ones that stand ten times
each on average (flags, weekdays, ratings): then they are a *category*, as booleans are, and 1, 1.0, true and
"1" are one label. In a column of numbers, up to five different words (``?``, ``off``) are ways to write that
a value is missing; any other word in the window is counted as no number. All else is text: a *category*, or,
when more than half of the rows hold something that no other row holds, an *id*, whose values have no
distribution to compare. Lists, structs and bytes are *opaque*.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa

from homeostat.config.label_text import label_text
from homeostat.core.profile.arrow_values import Values, date_format_of, values_of
from homeostat.core.profile.coerce import Floats

ColumnKind = Literal["number", "category", "datetime", "id", "opaque", "empty"]

#: Whole numbers with no more distinct values than this are codes.
MAX_CODES = 12
#: Each of them has to stand so often, on average.
TIMES_EACH = 10
#: So many different words in a column of numbers are ways to write "missing".
MAX_WORDS = 5
#: Distinct labels that are kept; beyond twice as many the rarer half is put together.
MAX_LABELS = 50_000
#: Fewer values than this in a row say nothing about an order.
MIN_ORDERED = 20


@dataclass(slots=True)
class Look:
    """What has been seen of a column so far; :meth:`add` takes it in batch by batch.

    With ``hold`` the numbers are kept, 8 bytes a row; otherwise memory does not grow with the rows.
    """

    hold: bool = False
    likely: str = ""  # how dates are written on the other side
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    words: dict[str, int] = field(default_factory=dict)
    spilt: int = 0  # rows of labels that were too rare to keep
    dates: bool = False
    date_format: str | None = None  # of text; None until there is some to tell by
    truth: bool = True  # nothing but booleans
    whole: bool = True
    codes: set[float] | None = field(default_factory=set)  # None when there are too many
    low: float = np.inf
    high: float = -np.inf
    least_step: float = np.inf
    greatest_step: float = -np.inf
    opaque: str = ""
    held: list[Floats] = field(default_factory=list)
    _last: float = np.nan

    @property
    def there(self) -> int:
        """Rows that have a value."""
        return self.rows - self.missing

    def add(self, array: pa.Array) -> Values:
        """Look at more rows, and hand on what was read in them."""
        values = values_of(array, self.date_format or "")
        if self.date_format is None and (values.numbers.size or values.words):
            self.date_format = "" if values.numbers.size else date_format_of(values.words, self.likely)
            if self.date_format:
                values = values_of(array, self.date_format)
        self.rows += len(array)
        self.missing += values.missing
        self.opaque = self.opaque or values.opaque
        if values.numbers.size:
            self.truth = self.truth and pa.types.is_boolean(array.type)
            self._numbers(values)
        self._words(values.words)
        return values

    def _numbers(self, values: Values) -> None:
        numbers = values.numbers
        self.dates = values.dates if not self.numbers else self.dates and values.dates
        self.numbers += numbers.size
        if self.hold:
            self.held.append(numbers)
        self.low, self.high = min(self.low, float(numbers.min())), max(self.high, float(numbers.max()))
        self.whole = self.whole and bool((numbers == np.floor(numbers)).all())
        if self.codes is not None:
            found = self.codes.union(np.unique(numbers).tolist() if self.whole else ())
            self.codes = found if self.whole and len(found) <= MAX_CODES else None
        if self.least_step < 0 < self.greatest_step:
            return  # neither rising nor falling, whatever follows
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.diff(numbers, prepend=self._last)
        steps = steps[1:] if np.isnan(self._last) else steps
        self._last = float(numbers[-1])
        if steps.size:
            self.least_step = min(self.least_step, float(steps.min()))
            self.greatest_step = max(self.greatest_step, float(steps.max()))

    def _words(self, words: dict[str, int]) -> None:
        for label, rows in words.items():
            self.words[label] = self.words.get(label, 0) + rows
        if len(self.words) > 2 * MAX_LABELS:
            ranked = sorted(self.words.items(), key=lambda item: -item[1])
            self.words = dict(ranked[:MAX_LABELS])
            self.spilt += sum(rows for _, rows in ranked[MAX_LABELS:])

    def all_numbers(self) -> Floats:
        """The numbers that were held, in their order."""
        return np.concatenate(self.held) if self.held else np.empty(0)

    def labels(self) -> dict[str, int]:
        """Every value as a label, with its rows; the numbers have to be held."""
        found = dict(self.words)
        for label, rows in number_labels(self.all_numbers()).items():
            found[label] = found.get(label, 0) + rows
        return found


def number_labels(numbers: Floats) -> dict[str, int]:
    """Numbers as labels, with their rows."""
    values, rows = np.unique(numbers + 0.0, return_counts=True)
    texts = (label_text(value) if np.isfinite(value) else str(value) for value in values.tolist())
    return {str(text): n for text, n in zip(texts, rows.tolist(), strict=True)}


def infer_kind(look: Look) -> ColumnKind:
    """The kind of a column; the rule stands at the top of this file. The numbers have to be held."""
    if look.opaque:
        return "opaque"
    if not look.there:
        return "empty"
    words = sum(look.words.values()) + look.spilt
    if look.dates and look.numbers >= words:
        return "datetime"
    if look.numbers >= words and len(look.words) <= MAX_WORDS:
        few = look.codes is not None and look.numbers >= TIMES_EACH * len(look.codes)
        return "category" if few or look.truth else "number"
    rare = look.spilt + sum(1 for rows in look.labels().values() if rows == 1)
    return "id" if 2 * rare > look.there else "category"


def runs_with_time(reference: Look, current: Look, outside: float) -> bool:
    """Whether a column of numbers or dates goes on from row to row, so that two files always differ.

    Parameters
    ----------
    reference, current
        What was seen of both sides.
    outside
        Share of the current values that lie beyond one end of the reference's range.

    Returns
    -------
    bool
        True for whole numbers or dates that rise at every row of both sides, or fall, as a running number
        does; for numbers that never turn back on either side and are half outside; and for dates that
        are half outside, in whatever order.
    """
    moved = outside >= 0.5
    if reference.dates and current.dates and moved:
        return True
    if min(reference.numbers, current.numbers) < MIN_ORDERED:
        return False
    rises = min(reference.least_step, current.least_step)
    falls = max(reference.greatest_step, current.greatest_step)
    running = (rises > 0 or falls < 0) and ((reference.whole and current.whole) or reference.dates)
    return running or (moved and (rises >= 0 or falls <= 0))


def family(look: Look) -> str:
    """What most of the values are: ``dates``, ``numbers`` or ``text``; empty without values."""
    if not look.there or look.opaque:
        return look.opaque
    if sum(look.words.values()) + look.spilt > look.numbers:
        return "text"
    return "dates" if look.dates else "numbers"
