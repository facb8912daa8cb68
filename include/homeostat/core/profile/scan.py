"""Scan a column batch by batch: its statistics, and the evidence of how its text is to be read."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from homeostat.config.label_text import is_number_text, label_text
from homeostat.core.profile.arrow_text import TextArray
from homeostat.core.profile.arrow_typed import ArrowValues, is_text, read_typed
from homeostat.core.profile.distinct import DistinctNumbers
from homeostat.core.profile.reading import Reading
from homeostat.core.values.date_orders import DateEvidence, decide_orders
from homeostat.core.values.dates import order_of
from homeostat.core.values.numbers import NumberEvidence
from homeostat.core.values.spelling import decide_spelling
from homeostat.core.values.whole_numbers import Numbers, concatenate, ends_of, is_exact

#: Whole numbers with at most this many distinct values are codes.
MAX_CODES = 12
#: Distinct labels to keep; beyond twice as many the rarer half is dropped, and only its rows are counted.
MAX_LABELS = 50_000


@dataclass(slots=True)
class ColumnScan:
    """Statistics of a column so far; :meth:`add` takes it in batch by batch.

    Without a ``reading``, each batch of text is read as what the text until then is, and :attr:`used` keeps
    how, so that the column can be read again when later rows, or the other table, show something else.
    With ``keep_numbers`` the numbers are kept, 8 bytes per row; otherwise memory does not grow with the
    rows.
    """

    keep_numbers: bool = False
    reading: Reading | None = None
    asked: Reading | None = None  # by model.yaml or the command line
    other: ColumnScan | None = None  # the other table's
    rows: int = 0
    missing: int = 0
    numbers: int = 0
    texts: dict[str, int] = field(default_factory=dict)
    words: dict[str, int] = field(default_factory=dict)  # for "missing", until it is settled what they are
    dropped: int = 0  # rows of labels that were too rare to keep
    dates: bool = False
    typed: int = 0  # numbers (or dates) that were not text
    typed_dates: bool = False
    text_cells: int = 0  # rows of text with a value, words for "missing" left out
    number_cells: int = 0  # rows of text that are numbers
    date_cells: int = 0  # and that are dates
    code_cells: int = 0  # of them, whole numbers with a leading zero
    code: str = ""  # one of these
    number_evidence: dict[Hashable, NumberEvidence] = field(default_factory=dict)
    weighed_exactly: bool = True  # False: points of plain numbers were taken for decimal points
    date_evidence: dict[Hashable, DateEvidence] = field(default_factory=dict)
    all_numbers_seen: NumberEvidence = field(default_factory=NumberEvidence)  # of all files together
    all_dates_seen: DateEvidence = field(default_factory=DateEvidence)
    used: dict[Hashable, list[Reading]] = field(default_factory=dict)
    all_boolean: bool = True
    all_whole: bool = True
    codes: set[float] | None = field(default_factory=set)  # None when there are too many
    low: float = np.inf
    high: float = -np.inf
    distinct: DistinctNumbers = field(default_factory=DistinctNumbers)
    plain_low: float = np.inf  # of numbers, whatever the column is read as
    plain_high: float = -np.inf
    opaque: str = ""
    kept_numbers: list[Numbers] = field(default_factory=list)

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

    def add(self, array: pa.Array, file: Hashable = "") -> ArrowValues:
        """Take in more rows of a file, and return their values."""
        boolean = pa.types.is_boolean(array.type)
        if is_text(array.type):
            text = TextArray.of(array, exact=self.reading is not None)
            values, boolean = self._read(text, file), text.all_boolean
        else:
            fixed = self.reading or self.asked
            values = read_typed(array, fixed.date_format if fixed else "")
            self.typed += values.numbers.size
            self.typed_dates = self.typed_dates or (values.dates and values.numbers.size > 0)
        self.rows += len(array)
        self.missing += values.missing
        self.opaque = self.opaque or values.opaque
        if values.numbers.size:
            self.all_boolean = self.all_boolean and boolean
            self._add_numbers(values, plain=not values.dates and not is_text(array.type))
        for word, rows in values.words.items():
            self.words[word] = self.words.get(word, 0) + rows
        self._add_texts(values.texts)
        return values

    def settle(self, *, words_are_values: bool) -> None:
        """Decide what words for "missing" are: values, or missing."""
        if words_are_values:
            self._add_texts(self.words)
            self.words = {}
        else:
            self.missing += sum(self.words.values())

    def words_are_values(self, reading: Reading) -> bool:
        """Return whether words for "missing" are values: in text, unless all the rest are numbers.

        The same rule as in :func:`homeostat.core.training_data.as_category`.
        """
        if reading.kind != "text":
            return False
        if any(word in reading.listed for word in self.words):
            return True
        return not ((self.texts or self.numbers) and all(map(is_number_text, self.texts)))

    def agrees(self, reading: Reading) -> bool:
        """Return whether the text was read like this, or would be the same if it were."""
        if reading.kind == "text" and self.typed == self.numbers:
            return True  # none of the text was taken for a number or a date
        return all(each.agrees(reading, file) for file, used in self.used.items() for each in used)

    def _read(self, text: TextArray, file: Hashable) -> ArrowValues:
        self.text_cells += len(text.array)
        plain = text.plain_numbers()
        if plain.size:
            self._add_plain(ends_of(plain))
        self.weighed_exactly = self.weighed_exactly and (text.plain is None or not text.plain.size)
        self.code_cells += text.codes
        self.code = self.code or text.code
        self._add_evidence(text, file)
        reading = self.reading or self._likely_reading(file)
        used = self.used.setdefault(file, [])
        if len(text.array) and reading not in used:
            used.append(reading)
        return text.read(reading, file)

    def _add_evidence(self, text: TextArray, file: Hashable) -> None:
        """Take in the evidence of a file; of many small files the totals are kept, not added up anew."""
        numbers = self.number_evidence.setdefault(file, NumberEvidence())
        dates = self.date_evidence.setdefault(file, DateEvidence())
        before = numbers.readable, dates.readable
        numbers.add_all(text.numbers)
        dates.add_all(text.dates)
        self.number_cells += numbers.readable - before[0]
        self.date_cells += dates.readable - before[1]
        self.all_numbers_seen.add_all(text.numbers)
        self.all_dates_seen.add_all(text.dates)

    def _likely_reading(self, file: Hashable) -> Reading:
        """Return how to read text, by what is known until now of this file and of all others together."""
        asked = self.asked or Reading()
        if asked.is_fixed:
            return asked
        scans = [self, *([self.other] if self.other else ())]
        if asked.kind == "dates" or (not self.asked and self.date_cells > self.number_cells):
            asked_order = order_of(asked.date_format)
            evidence = [self.date_evidence[file], *(scan.all_dates_seen for scan in scans)]
            found = decide_orders(dict(enumerate(evidence)), asked_order).orders[0]
            orders = {layout: found.get(layout, "") for layout in self.date_evidence[file].rows}
            return Reading("dates", orders={file: orders}, date_format=asked.date_format)
        others = (scan.all_numbers_seen for scan in scans)
        spelling = decide_spelling(self.number_evidence[file], others)
        return Reading("numbers", {file: spelling}, asked.codes)

    def _add_plain(self, ends: tuple[float, float]) -> None:
        self.plain_low, self.plain_high = min(self.plain_low, ends[0]), max(self.plain_high, ends[1])

    def _add_numbers(self, values: ArrowValues, *, plain: bool) -> None:
        numbers = values.numbers
        self.dates = values.dates if not self.numbers else self.dates and values.dates
        self.numbers += numbers.size
        if self.keep_numbers:
            self.kept_numbers.append(numbers)
        low, high = ends_of(numbers)
        self.low, self.high = min(self.low, low), max(self.high, high)
        if plain:
            self._add_plain((low, high))
        self.all_whole = self.all_whole and (is_exact(numbers) or bool((numbers == np.floor(numbers)).all()))
        if self.codes is not None:
            found = self.codes.union(np.unique(numbers).tolist() if self.all_whole else ())
            self.codes = found if self.all_whole and len(found) <= MAX_CODES else None
        if self.all_whole and not values.dates:
            self.distinct.add(numbers)

    def _add_texts(self, texts: dict[str, int]) -> None:
        for label, rows in texts.items():
            self.texts[label] = self.texts.get(label, 0) + rows
        if len(self.texts) > 2 * MAX_LABELS:
            ranked = sorted(self.texts.items(), key=lambda item: -item[1])
            self.texts = dict(ranked[:MAX_LABELS])
            self.dropped += sum(rows for _, rows in ranked[MAX_LABELS:])

    def all_numbers(self) -> Numbers:
        """Return the kept numbers, in their order."""
        return concatenate(self.kept_numbers)

    def labels(self) -> dict[str, int]:
        """Return every value as a label, with its rows; needs ``keep_numbers``."""
        found = dict(self.texts)
        for label, rows in number_labels(self.all_numbers()).items():
            found[label] = found.get(label, 0) + rows
        return found


def dates_by_file(*scans: ColumnScan) -> dict[Hashable, DateEvidence]:
    """Return the evidence of the dates of each file, by the scan's place and the file."""
    return {(at, file): each for at, scan in enumerate(scans) for file, each in scan.date_evidence.items()}


def number_labels(numbers: Numbers) -> dict[str, int]:
    """Return numbers as labels, with their rows."""
    values, rows = np.unique(numbers + 0, return_counts=True)  # minus zero becomes zero
    texts = (label_text(value) if math.isfinite(value) else str(value) for value in values.tolist())
    return {str(text): n for text, n in zip(texts, rows.tolist(), strict=True)}
