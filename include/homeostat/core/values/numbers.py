"""Numerals as people and programs write them: a column's spelling, and its numbers.

A column has one spelling: the decimal mark, the mark between thousands, and a unit (``%`` or a currency).
The spelling that reads the most rows is the column's. Where a decimal and a thousands mark cannot be told
apart (``1,234`` and nothing else), a comma is one between thousands and a point is a decimal point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from homeostat.core.values.digits import even_digits

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

_CODES = (
    "AED|ARS|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|ISK|JPY|KRW|MXN|MYR|NOK|"
    "NZD|PEN|PHP|PKR|PLN|RMB|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_UNIT = rf"%|[A-Z]{{0,2}}\p{{Sc}}|{_CODES}|zł|kr|Kč|Ft|Rs\.?|Rp\.?"
_NUMERAL = (
    r"^(?P<open>\(?)(?P<sign>[-+−]?) ?"
    rf"(?P<front>(?:{_UNIT})?) ?(?P<inner>[-+−]?)"
    r"(?P<digits>[0-9.,](?:[0-9.,' ]*[0-9.,])?)"
    r"(?P<exponent>(?:(?:[eE][-+]?|[dD][-+])[0-9]+)?)(?P<after>[-−]?) ?"
    rf"(?P<back>(?:{_UNIT})?)(?P<end>[-−]?)(?P<close>\)?)$"  # SAP writes 12.50-, and 12.50 EUR-
)
_LIKELY = re.sub(r"\?P<\w+>", "?:", _NUMERAL)
_PLAIN = r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$|^[-+]?(?i:inf|infinity)$"
_BOOLEAN = r"^(?i:true|false)$"
_IN_EVERY_SPELLING = r"^(?i:true|false|[-+]?inf|[-+]?infinity)$"
_CODE = r"^[-+]?0[0-9]+[-−]?$"
_SPACES = "[\u00a0\u2007\u2009\u202f]"


@dataclass(frozen=True, slots=True)
class Spelling:
    """How the numbers of a column are written.

    ``unit`` is ``%``, a currency's sign or code, or empty. ``ambiguous``: every numeral with a mark
    would be a number with the other decimal mark too.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    ambiguous: bool = False

    def describe(self) -> str:
        """Return the spelling in words, such as "decimal commas"; empty for plain numbers."""
        words = ["decimal commas"] if self.decimal == "," else []
        if self.thousands:
            words.append(f"{_NAMES[self.thousands]} between thousands")
        if self.unit == "%":
            words.append("percentages (12.3% is 0.123)")
        elif self.unit:
            words.append(f"amounts in {self.unit}")
        if self.ambiguous:
            words.append("1,234 is read as 1234: if it means 1.234, save decimal points")
        return ", ".join(words)

    @property
    def marks(self) -> Spelling:
        """The same spelling without unit and doubt."""
        return Spelling(self.decimal, self.thousands)


_NAMES = {",": "commas", ".": "points", " ": "spaces", "'": "apostrophes"}
PLAIN = Spelling()
#: In the order of preference where several read the same rows.
CANDIDATES = (
    *(PLAIN, Spelling(".", ","), Spelling(".", " "), Spelling(".", "'")),
    *(Spelling(","), Spelling(",", " "), Spelling(",", "'"), Spelling(",", ".")),
)
#: The decimal mark of each.
DECIMALS = np.array([each.decimal for each in CANDIDATES])


def _pattern(spelling: Spelling) -> str:
    mark = re.escape(spelling.decimal)
    whole = "[0-9]+"
    if spelling.thousands:
        gap = re.escape(spelling.thousands)
        middle = "{2,3}" if spelling.thousands == "," else "{3}"  # 12,34,567 is how India writes it
        whole = rf"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{gap}[0-9]{middle})*{gap}[0-9]{{3}})"
    after = "*" if spelling.decimal == "." else "+"
    return rf"^(?:{whole}(?:{mark}[0-9]{after})?|{mark}[0-9]+)$"


_PATTERNS = {each: _pattern(each) for each in CANDIDATES}


@dataclass(slots=True)
class NumberEvidence:
    """For each unit, how many rows each of :data:`CANDIDATES` reads; evidence of parts adds up.

    ``commas`` are rows that are numbers only with a decimal comma.
    """

    rows: dict[str, Ints] = field(default_factory=dict)
    commas: int = 0

    def add(self, unit: str, rows: Ints | list[int]) -> None:
        """Add the rows that each candidate reads."""
        self.rows[unit] = self.rows.get(unit, np.zeros(len(CANDIDATES), dtype=np.int64)) + np.asarray(rows)

    def add_all(self, other: NumberEvidence) -> None:
        """Add the evidence of another part of the column."""
        for unit, rows in other.rows.items():
            self.add(unit, rows)
        self.commas += other.commas

    @property
    def readable(self) -> int:
        """Rows that the best spelling reads."""
        return max((int(rows.max()) for rows in self.rows.values()), default=0)

    @property
    def best(self) -> tuple[str, Mask]:
        """The unit of the most rows, and which candidates read the most of them; needs readable rows."""
        unit, rows = max(self.rows.items(), key=lambda item: (int(item[1].max()), item[0] == ""))
        return unit, rows == rows.max()

    def decimals(self) -> set[str]:
        """Return the decimal marks that fit best; both where nothing tells them apart."""
        return set(DECIMALS[self.best[1]].tolist()) if self.readable else set()


def weigh_plain(numbers: Floats) -> NumberEvidence:
    """Return the evidence of texts that a program reads as these numbers: every point is a decimal point."""
    evidence = NumberEvidence()
    if numbers.size:
        whole = int((numbers == np.floor(numbers)).sum())
        evidence.add("", np.where(DECIMALS == ".", numbers.size, whole))
    return evidence


def weigh_numbers(texts: pa.Array, rows: Ints) -> NumberEvidence:
    """Return how many rows each candidate reads; ``rows[i]`` rows hold ``texts[i]``."""
    evidence = NumberEvidence()
    texts = even_digits(texts)
    parts = _take_apart(texts)
    reads = [_reads(parts, each) for each in CANDIDATES]
    points, commas = (np.any(np.array(reads)[mark == DECIMALS], axis=0) for mark in ".,")
    evidence.commas = int(rows[parts.at][commas & ~points].sum())
    everywhere = _matches(pc.utf8_trim_whitespace(texts), _IN_EVERY_SPELLING)
    evidence.add_all(weigh_plain(np.ones(int(rows[everywhere].sum()))))
    units = parts.unit.dictionary_encode()
    codes = units.indices.to_numpy(zero_copy_only=False)
    for code, unit in enumerate(units.dictionary.to_pylist()):
        evidence.add(unit, [int(rows[parts.at][each & (codes == code)].sum()) for each in reads])
    return evidence


def parse_numbers(texts: pa.Array, spelling: Spelling = PLAIN) -> Floats:
    """Read texts as numbers, NaN where a text is none in this spelling; 12.3% is 0.123.

    Blanks around a numeral do not matter; a minus may stand before the unit or after it, before the number
    or behind it, and a number in parentheses is negative. ``inf`` and ``infinity`` are numbers in every
    spelling, and so are ``true`` (1) and ``false`` (0), in any case.
    """
    texts = even_digits(texts)
    trimmed = pc.utf8_trim_whitespace(texts)
    numbers = np.full(len(texts), np.nan)
    plain = _matches(trimmed, _PLAIN)
    if spelling.decimal != "." or spelling.unit:  # then 1.5 is none, but infinity is what it is everywhere
        plain &= _matches(trimmed, "^[-+]?[iI]")
    numbers[plain] = _cast(trimmed.filter(pa.array(plain)))
    if plain.all():
        return numbers
    flags = _matches(trimmed, _BOOLEAN)
    if flags.any():
        numbers[flags] = _matches(trimmed.filter(pa.array(flags)), "^[tT]")
    parts = _take_apart(texts)
    reads = _reads(parts, spelling) & ~plain[parts.at]
    reads &= pc.equal(parts.unit, spelling.unit).to_numpy(zero_copy_only=False)
    kept = pa.array(reads)
    digits = parts.digits.filter(kept)
    if spelling.thousands:
        digits = pc.replace_substring(digits, spelling.thousands, "")
    if spelling.decimal == ",":
        digits = pc.replace_substring(digits, ",", ".")
    exponent = pc.replace_substring_regex(parts.exponent.filter(kept), "[dD]", "e")  # Fortran: 1.5D+02
    found = _cast(pc.binary_join_element_wise(digits, exponent, ""))
    found *= np.where(parts.negative[reads], -1.0, 1.0)
    numbers[parts.at[reads]] = found / 100 if spelling.unit == "%" else found
    return numbers


def is_number(texts: pa.Array) -> Mask:
    """Return for each text whether it is a number in some spelling."""
    found = _matches(pc.utf8_trim_whitespace(texts), _IN_EVERY_SPELLING)
    parts = _take_apart(texts)
    found[parts.at] |= np.any([_reads(parts, each) for each in CANDIDATES], axis=0)
    return found


def _reads(parts: _Parts, spelling: Spelling) -> Mask:
    return _matches(parts.digits, _PATTERNS[spelling.marks])


def _matches(texts: pa.Array, pattern: str) -> Mask:
    return np.asarray(pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False))


def is_code(texts: pa.Array) -> Mask:
    """Return for each text whether it is a whole number with a leading zero: 007 is a code, not a seven."""
    return _matches(pc.utf8_trim_whitespace(even_digits(texts)), _CODE)


def _cast(texts: pa.Array) -> Floats:
    return np.array(texts.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of texts that are numerals in some spelling."""

    at: Ints  # positions of the texts
    digits: pa.Array
    exponent: pa.Array
    unit: pa.Array
    negative: Mask


def _take_apart(texts: pa.Array) -> _Parts:
    even = texts
    if not pc.all(pc.string_is_ascii(texts)).as_py():
        even = pc.replace_substring(pc.replace_substring_regex(texts, _SPACES, " "), "’", "'")
    even = pc.utf8_trim_whitespace(even)
    at = np.flatnonzero(_matches(even, _LIKELY))
    parts = pc.extract_regex(even.take(pa.array(at)), _NUMERAL)
    names = ("digits", "exponent", "front", "back", "open", "close")
    digits, exponent, front, back, before, after = (pc.struct_field(parts, name) for name in names)
    places = (pc.struct_field(parts, name) for name in ("sign", "inner", "after", "end"))
    signs = pc.binary_join_element_wise(*places, "")
    in_parentheses = pc.not_equal(before, "")
    twice = pc.and_(pc.not_equal(front, ""), pc.not_equal(back, ""))
    bad = pc.or_(pc.xor(in_parentheses, pc.not_equal(after, "")), twice)
    bad = pc.or_(bad, pc.greater(pc.utf8_length(signs), pc.if_else(in_parentheses, 0, 1)))
    good = pc.invert(bad)
    negative = pc.or_(in_parentheses, pc.is_in(signs, value_set=pa.array(["-", "−"], signs.type)))
    return _Parts(
        at[good.to_numpy(zero_copy_only=False)],
        digits.filter(good),
        exponent.filter(good),
        pc.binary_join_element_wise(front, back, "").filter(good),
        negative.filter(good).to_numpy(zero_copy_only=False),
    )
