"""Read Arrow arrays of text as numbers, dates and texts: the result is the same for 1, 1.0, true and "1"."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.profile.arrow import is_own_label
from homeostat.core.profile.arrow_typed import ArrowValues
from homeostat.core.profile.coerce import Floats, Ints, label_of
from homeostat.core.profile.reading import Reading
from homeostat.core.values.date_orders import DateEvidence, DateOrders
from homeostat.core.values.dates import is_contradicted, order_of, parse_dates, weigh_dates
from homeostat.core.values.missing import is_missing_word, is_usual_spelling
from homeostat.core.values.numbers import (
    NumberEvidence,
    Spelling,
    is_code,
    parse_numbers,
    weigh_numbers,
    weigh_plain,
)
from homeostat.core.values.whole_numbers import Numbers, are_rounded, text_integers

_SAMPLE = 200
_BOOLEAN = r"^\s*(?:true|false)\s*$"


@dataclass(slots=True)
class TextArray:
    """An array of text: the evidence of what it holds, and its values under any reading.

    A whole array of plain numbers, or of ISO dates of one form, is read at Arrow's speed unless ``exact``;
    then the evidence counts each text. Of everything else only distinct texts are read.
    """

    array: pa.Array  # without nulls and words for missing values
    rows: int
    words: dict[str, int]
    plain: Numbers | None = None
    iso: Floats | None = None
    codes: int = 0
    code: str = ""
    numbers: NumberEvidence = field(default_factory=NumberEvidence)
    dates: DateEvidence = field(default_factory=DateEvidence)
    _encoded: tuple[Ints, Ints, pa.Array] | None = None

    @classmethod
    def of(cls, array: pa.Array, *, exact: bool = False) -> TextArray:
        """Take an array of text, and weigh what it holds."""
        rows = len(array)
        if pa.types.is_dictionary(array.type) and not _plain_dictionary(array):
            array = array.dictionary_decode()
        array = array.drop_null() if array.null_count else array
        if not pa.types.is_dictionary(array.type):
            array = array.cast(pa.string())
        found = cls(array, rows, {})
        if not exact and found._read_fast():
            return found
        if not found.encoded:
            found._leave_out_words(is_usual_spelling(array))
            if not exact and found.words and found._read_fast():
                return found
        found._weigh()
        return found

    @property
    def encoded(self) -> bool:
        """Whether the array is a dictionary with codes, so that its distinct texts are known."""
        return bool(pa.types.is_dictionary(self.array.type))

    @property
    def missing(self) -> int:
        """Rows without text."""
        return self.rows - len(self.array) - sum(self.words.values())

    @property
    def all_boolean(self) -> bool:
        """Whether every text that is a number is ``true`` or ``false``, in any case; words do not count."""
        if self.plain is not None or self.iso is not None:
            return False
        _, rows_of, distinct = self._encode()
        boolean = np.asarray(pc.match_substring_regex(distinct, _BOOLEAN, ignore_case=True), dtype=bool)
        return int(rows_of[boolean].sum()) == self.numbers.readable

    def plain_numbers(self) -> Numbers:
        """Return the numbers in the spelling of programs, whatever the column is read as."""
        if self.plain is not None:
            return self.plain
        if not self.numbers.readable:
            return np.empty(0)
        numbers = parse_numbers(self._encode()[2])
        return np.asarray(numbers[~np.isnan(numbers)])

    def read(self, reading: Reading, file: Hashable = "") -> ArrowValues:
        """Return the values under a reading; the array is part of this file."""
        if reading.kind == "text":
            return ArrowValues(
                np.empty(0), self._labels(np.ones(len(self._encode()[2]), bool)), self.missing, self.words
            )
        if reading.kind == "dates":
            return self._read_dates(reading.date_format, reading.orders.get(file, {}))
        spelling = reading.spelling_of(file)
        if self.plain is not None and spelling.decimal == "." and not spelling.unit:
            return ArrowValues(self.plain, {}, self.missing, self.words)
        distinct = self._encode()[2]
        numbers = parse_numbers(distinct, spelling)
        if not reading.codes:
            numbers[is_code(distinct)] = np.nan
        return self._split(numbers, spelling)

    def _read_dates(self, date_format: str, orders: DateOrders) -> ArrowValues:
        if is_contradicted(date_format, orders):
            date_format = ""
        if self.iso is not None and "iso" not in order_of(date_format):
            return ArrowValues(self.iso, {}, self.missing, self.words, dates=True)
        return replace(self._split(parse_dates(self._encode()[2], orders, date_format)), dates=True)

    def _split(self, numbers: Floats, spelling: Spelling | None = None) -> ArrowValues:
        codes, _, distinct = self._encode()
        read = ~np.isnan(numbers)
        rows = codes[read[codes]]
        found: Numbers = numbers[rows]
        if spelling and are_rounded(numbers[read]):
            exact = text_integers(distinct.filter(pa.array(read)), numbers[read], spelling)
            found = exact[(np.cumsum(read) - 1)[rows]]
        return ArrowValues(found, self._labels(~read), self.missing, self.words)

    def _labels(self, chosen: np.ndarray) -> dict[str, int]:
        _, rows_of, distinct = self._encode()
        texts, rows = distinct.filter(pa.array(chosen)), rows_of[chosen]
        own = is_own_label(texts)
        labels = dict(zip(texts.filter(pa.array(own)).to_pylist(), rows[own].tolist(), strict=True))
        for text, n in zip(texts.filter(pa.array(~own)).to_pylist(), rows[~own].tolist(), strict=True):
            label = label_of(text)
            if label is not None:
                labels[label] = labels.get(label, 0) + n
        return labels

    def _read_fast(self) -> bool:
        """Read everything as plain numbers, or as ISO dates; return whether that worked."""
        if not len(self.array):
            return True
        return self._read_plain() or self._read_iso()

    def _read_plain(self) -> bool:
        texts = self._encode()[2] if self.encoded else self.array
        try:
            texts[:_SAMPLE].cast(pa.float64())  # fails early: casting everything pays only when it succeeds
            numbers = texts.cast(pa.float64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            return False
        whole = numbers == np.floor(numbers)
        if whole.any() and is_code(texts if whole.all() else texts.filter(pa.array(whole))).any():
            return False
        if self.encoded:
            numbers = numbers[self._encode()[0]]
        missing = np.isnan(numbers)
        if missing.any():
            self._leave_out_words(pa.array(missing))
        numbers = numbers[~missing]
        self.numbers = weigh_plain(numbers)
        self.plain = self._exact(numbers) if are_rounded(numbers) else numbers
        return True

    def _exact(self, numbers: Floats) -> Numbers:
        """Return numbers that are all whole exactly."""
        if not self.encoded:
            return text_integers(self.array, numbers)
        codes, _, distinct = self._encode()
        of_code = np.empty(len(distinct))
        of_code[codes] = numbers
        return text_integers(distinct, of_code)[codes]

    def _read_iso(self) -> bool:
        texts = self._encode()[2] if self.encoded else self.array
        zone = "UTC" if str(texts[0])[-6:].strip("0123456789") in ("Z", "+:", "-:") else None
        try:
            texts[:_SAMPLE].cast(pa.timestamp("us", zone))
            stamps = texts.cast(pa.timestamp("us", zone))
        except pa.ArrowInvalid:
            return False
        seconds = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
        self.iso = seconds[self._encode()[0]] if self.encoded else seconds
        self.dates = DateEvidence({"iso": {"ymd": len(self.array)}})
        return True

    def _leave_out_words(self, are_words: pa.Array) -> None:
        if pc.any(are_words).as_py():
            for pair in self.array.filter(are_words).value_counts().to_pylist():
                if label := label_of(pair["values"]):
                    self.words[label] = self.words.get(label, 0) + pair["counts"]
            self.array = self.array.filter(pc.invert(are_words))
            self._encoded = None

    def _weigh(self) -> None:
        _, _, distinct = self._encode()
        words = is_missing_word(distinct)  # in any case, and with blanks
        if pc.any(words).as_py():
            self._leave_out_words(words.take(pa.array(self._encode()[0])))
        _, rows_of, distinct = self._encode()
        codes = is_code(distinct)
        self.codes = int(rows_of[codes].sum())
        self.code = distinct[int(codes.argmax())].as_py() if self.codes else ""
        others = pa.array(~codes)
        self.numbers = weigh_numbers(distinct.filter(others), rows_of[~codes])
        self.dates = weigh_dates(distinct, rows_of)

    def _encode(self) -> tuple[Ints, Ints, pa.Array]:
        """Return the code of each row, the rows of each code, and the distinct texts."""
        if self._encoded is None:
            encoded = self.array if self.encoded else self.array.dictionary_encode()
            codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
            distinct = encoded.dictionary.cast(pa.string())
            rows_of = np.bincount(codes, minlength=len(distinct))
            if not rows_of.all():  # the dictionary of a part of a file may hold texts of other parts
                used = np.flatnonzero(rows_of)
                codes = (np.cumsum(rows_of > 0) - 1)[codes]
                distinct, rows_of = distinct.take(pa.array(used)), rows_of[used]
            self._encoded = codes, rows_of, distinct
        return self._encoded


def _plain_dictionary(array: pa.DictionaryArray) -> bool:
    """Return whether each text of the dictionary is there once, and none is missing."""
    texts = array.dictionary
    return texts.null_count == 0 and len(texts.unique()) == len(texts)
