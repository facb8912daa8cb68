"""The files of a guessed model: what is written reads back as it was meant."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from homeostat.scaffold.write_model import min_rows_of, yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(TEXTS)
def test_a_text_reads_back_as_it_is_in_every_place(text):
    written = yaml_text(text)
    assert yaml.safe_load(f"[{written}, x]") == [text, "x"]
    assert yaml.safe_load(f"{{{written}: {{name: {written}}}}}") == {text: {"name": text}}
    assert yaml.safe_load(f"    {written}: 1") == {text: 1}


@pytest.mark.parametrize(
    "text", ["on", "No", "null", "007", "1.10", "it's", "a: b", "#1", "2024-01-31", "~", "é"]
)
def test_words_that_yaml_reads_as_something_else_stay_text(text):
    assert yaml.safe_load(f"[{yaml_text(text)}]") == [text]


@pytest.mark.parametrize(("rows", "least"), [(100, 20), (1000, 200), (5000, 1000), (10**6, 1000)])
def test_a_short_table_needs_fewer_training_rows(rows, least):
    assert min_rows_of(rows) == least
    assert least <= max(20, 0.3 * 0.875 * rows), "the first version of a backtest has enough"
