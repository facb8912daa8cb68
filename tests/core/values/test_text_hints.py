"""What texts look like; whole columns are in tests/cli/drift/test_drift_hints.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.values.text_hints import are_codes, text_hint


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31",
        "10",
        "1.5",
        "12a",
        "north",
        "B 12",
        "Jan 31",
        "100%",
        "0x1f",
        "v1.2.3",
        "",
        "12:345",
        "31/01/2024",
    ],
)
def test_other_texts_have_no_hint(text):
    assert not text_hint([text])


def test_a_month_is_called_foreign_only_where_it_is():
    assert "a form that is not known" in text_hint(["01-Jan-24 at noon"])
    assert "a month that is not English" in text_hint(["01-janv-24 10:30"])


@given(st.lists(st.text(max_size=12), max_size=30))
def test_any_texts_have_a_hint_or_none(texts):
    assert isinstance(text_hint(texts), str)
    assert isinstance(are_codes(texts), bool)


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (["b6589fc6", "356a192b", "12345678"], True),
        (["12", "13", "#DIV/0!", "<0.1"], False),
        (["12", "n.a", "x"], False),
    ],
)
def test_codes_are_letters_and_digits(texts, right):
    assert are_codes(texts) is right
