"""Categories that differ only in case or blanks are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core.values.similar_texts import MAX_DISTINCT, similar_note, similar_texts


def test_classes_that_differ_in_case_or_blanks_are_named():
    note = similar_note(["yes", "no", "Yes", "yes ", "No", "maybe"])
    assert note == (
        "'Yes', 'yes', 'yes ', ... differ only in upper and lower case or blanks, and are different values: "
        "write them alike"
    )
    assert similar_texts(["yes", "no", "Yes", "yes ", "No", "maybe"]) == [
        ["Yes", "yes", "yes "],
        ["No", "no"],
    ]


@pytest.mark.parametrize("texts", [[], ["yes", "no"], ["1", "01"], ["a b", "ab"], ["yes", "yes"]])
def test_other_texts_are_not(texts):
    assert not similar_note(texts)


def test_names_are_too_many_to_compare():
    assert not similar_texts([f"{at}a" for at in range(MAX_DISTINCT)] + ["x", "X"])


@given(st.lists(st.text(alphabet="ab AB", min_size=1, max_size=4), max_size=12))
def test_every_text_is_in_one_group_with_its_like(texts):
    named = [text for group in similar_texts(texts) for text in group]
    assert len(named) == len(set(named))
    for text in set(texts):
        like = {other for other in texts if other.casefold().split() == text.casefold().split()}
        assert (text in named) is (len(like) > 1)
