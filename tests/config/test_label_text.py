"""One text of a category: equal values are equal texts, different texts stay different."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.config.label_text import (
    FIRST_SPELLING,
    SPELLING,
    known_spelling,
    label_text,
    label_texts,
    received_text,
)

SAME = {
    "1": [1, 1.0, True, "1", "1.0", "1.00", "true", "True", "TRUE", Decimal("1.00"), np.int8(1), np.True_],
    "0": [0, -0.0, False, "0", "0.0", "-0", "-0.0", "false", "False", "FALSE", np.uint64(0), Decimal("-0")],
    "-3": [-3, -3.0, "-3", "-3.0", np.float32(-3)],
    "100000": [100_000, 1e5, "1e+05", "1.0e+5", "1E+05", "1.0E5", "100000.0"],
    "123456789012": [123456789012.0, "1.23456789012e+11", "123456789012.0"],
    "10000000000000000": [1e16, "1e+16", 10**16],
    "9007199254740993": [2**53 + 1, np.int64(2**53 + 1), "9007199254740993", Decimal(2**53 + 1)],
    "0.1": [0.1, "0.1", np.float32(0.1), np.float16(0.1), Decimal("0.10"), Decimal("0.1")],
    "0.00001": [1e-5, "1e-05", "1e-5", "0.00001", "1.0E-5"],
    "2024-01-31": [date(2024, 1, 31), "2024-01-31"],
    "2024-01-31 10:00:00": [datetime.fromisoformat("2024-01-31T10:00"), pd.Timestamp("2024-01-31 10:00")],
}
#: Codes, versions and words: what a program would not write for a number.
KEPT = (
    *(
        "007",
        "00",
        "+1",
        " 1",
        "1 ",
        "1.10",
        "1.1",
        "3.10",
        "0.50",
        ".5",
        "1.",
        "1e5",
        "12E4",
        "3E-1",
        "2e-1",
    ),
    *("1,5", "1_000", "0x1F", "1.0.0", "1e+400", "e", "E", "yes", "NO", "on", "t", "T", "tRUE", "\u0661"),
    *("NA", "None", "null", "nan", "NaN", "inf", "-", "--1"),
)


@pytest.mark.parametrize("text", SAME)
def test_equal_values_are_one_text(text):
    assert {repr(value): label_text(value) for value in SAME[text]} == {repr(v): text for v in SAME[text]}


@pytest.mark.parametrize("text", KEPT)
def test_any_other_text_is_unchanged(text):
    assert label_text(text) == text


@pytest.mark.parametrize("value", [None, "", float("nan"), np.float32("nan"), pd.NA, pd.NaT, Decimal("NaN")])
def test_no_value_has_no_text(value):
    assert label_text(value) is None


values = (
    st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.text(max_size=6)
    | st.from_regex(r"-?[0-9]{1,3}(\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?", fullmatch=True)
    | st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9, places=3)
)


@given(values)
def test_spelling_a_text_again_changes_nothing(value):
    text = label_text(value)
    assert label_text(text) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_decimal_that_reads_back_as_it(value):
    text = label_text(value)
    assert text is not None
    assert float(text) == value
    assert set(text) <= set("-.0123456789")
    assert label_text(repr(value)) == text


@given(st.text(max_size=6), st.text(max_size=6))
def test_no_two_texts_become_one_unless_both_are_numbers_or_booleans(one, other):
    if one != other and label_text(one) == label_text(other) and (one or other):
        words = {"true": 1, "false": 0}
        numbers = [float(words.get(text.lower(), text)) for text in (one, other)]
        assert numbers[0] == numbers[1]


@given(st.text(max_size=6) | st.from_regex(r"[0-9]{1,3}\.0", fullmatch=True))
def test_the_first_spelling_leaves_text_as_it_is(text):
    assert label_text(text, FIRST_SPELLING) == (text or None)


@given(values)
def test_a_received_text_has_both_spellings_of_its_value(value):
    received = received_text(value)
    assert label_text(received) == label_text(value) or isinstance(value, Decimal)
    if not (isinstance(value, int) and abs(value) > 2**53):
        assert label_text(received, FIRST_SPELLING) == label_text(value, FIRST_SPELLING)


@given(st.lists(values, max_size=8))
def test_many_are_spelled_as_each(many):
    assert label_texts(many) == [label_text(value) for value in many]


def test_what_is_stored_without_a_spelling_has_the_first():
    assert known_spelling({}) == FIRST_SPELLING
    assert known_spelling({"spelling": SPELLING}) == SPELLING
    with pytest.raises(ValueError, match="update it"):
        known_spelling({"spelling": SPELLING + 1})
