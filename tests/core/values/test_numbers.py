"""Spellings of numbers: whatever wrote a column, the same numbers come back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.values.numbers import PLAIN, Spelling, parse_numbers, weigh_numbers
from homeostat.core.values.spelling import decide_spelling
from homeostat.core.values.whole_numbers import text_integers


def evidence(*texts: str):
    return weigh_numbers(pa.array(texts, pa.string()), np.ones(len(texts), dtype=np.int64))


def written(value: float, spelling: Spelling, *, after: bool, minus: str = "first") -> str:
    """Write a number with two decimals, independently of the code that reads it."""
    digits, cents = f"{abs(value):,.2f}".split(".")
    text = digits.replace(",", spelling.thousands) + spelling.decimal + cents
    if value < 0 and minus == "after digits":
        text += "-"
    if spelling.unit:
        text = f"{text} {spelling.unit}" if after else f"{spelling.unit}{text}"
    if value < 0 and minus in ("first", "last"):
        text = f"-{text}" if minus == "first" else f"{text}-"
    return text


SPELLINGS = [
    Spelling(decimal, thousands, unit)
    for decimal, marks in ((".", ("", ",", " ", "'")), (",", ("", ".", " ", "'")))
    for thousands in marks
    for unit in ("", "$", "€", "EUR", "CHF", "%", "R$")
]


@pytest.mark.parametrize("spelling", SPELLINGS, ids=str)
@given(
    values=st.lists(st.integers(-(10**10), 10**10).map(lambda cents: cents / 100), min_size=1, max_size=20),
    after=st.booleans(),
    minus=st.sampled_from(["first", "after digits", "last"]),
)
@settings(max_examples=15, deadline=None)
def test_every_spelling_reads_back_what_it_wrote(spelling, values, after, minus):
    after = after or spelling.unit == "%"
    texts = pa.array([written(value, spelling, after=after, minus=minus) for value in values])
    found = decide_spelling(weigh_numbers(texts, np.ones(len(values), dtype=np.int64)))
    assert (found.decimal, found.unit, found.ambiguous) == (spelling.decimal, spelling.unit, False)
    right = [value / 100 for value in values] if spelling.unit == "%" else values
    assert parse_numbers(texts, found) == pytest.approx(right, rel=1e-12, abs=1e-12)


@given(st.lists(st.floats(allow_nan=False), max_size=20))
@settings(max_examples=100, deadline=None)
def test_what_programs_write_is_read_exactly(values):
    texts = pa.array([repr(value) for value in values], pa.string())
    assert parse_numbers(texts, PLAIN).tolist() == values


@given(st.lists(st.text(max_size=12), max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_text_is_a_number_or_none_in_every_spelling(texts):
    array = pa.array(texts, pa.string())
    found = decide_spelling(evidence(*texts))
    assert parse_numbers(array, found).shape == (len(texts),)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1_000",
            "0x10",
            "1,23",
            "12.34.56",
            "1,2345",
            "5 kg",
            "A12",
            "--3",
            "(4",
            "-(4)",
            "$5$",
            "1e",
            ".",
            "",
        ),
        *("12:30", "1/2", "5+", "-5-", "5--", "(5-)", "1,163.7.4"),
    ],
)
def test_what_is_no_number_beside_points_is_not_read(text):
    assert np.isnan(parse_numbers(pa.array([text]), Spelling(".", ",")))[0]


def test_the_other_table_decides_what_this_one_leaves_open():
    open_mark = evidence("12,345", "67,890")
    assert decide_spelling(open_mark).ambiguous
    assert decide_spelling(open_mark, [evidence("1,5")]) == Spelling(",")
    assert decide_spelling(open_mark, [evidence("1.5")]) == Spelling(".", ",")
    assert decide_spelling(evidence("1.234"), [evidence("1.163,74")]) == Spelling(",", ".")
    assert decide_spelling(evidence("1.5"), [evidence("1,5")]) == PLAIN, "what is certain stays"


def test_evidence_of_parts_adds_up():
    texts = ["1,5", "2", "$3", "x", "1,234.5"]
    whole, parts = evidence(*texts), evidence(*texts[:2])
    parts.add_all(evidence(*texts[2:]))
    assert {unit: rows.tolist() for unit, rows in whole.rows.items()} == {
        unit: rows.tolist() for unit, rows in parts.rows.items()
    }


@given(st.lists(st.integers(-(10**20), 10**20), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_wide_and_arabic_digits_are_digits(values):
    for digits in ("０１２３４５６７８９", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹"):
        texts = pa.array([str(value).translate(str.maketrans("0123456789", digits)) for value in values])
        assert parse_numbers(texts).tolist() == [float(value) for value in values]
        exact = text_integers(texts, parse_numbers(texts))
        assert exact.tolist() == values


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_the_exponents_of_fortran_are_exponents(values):
    texts = pa.array([f"{value:.16e}".replace("e", "D") for value in values])
    assert parse_numbers(texts).tolist() == values
