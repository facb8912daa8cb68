"""Signs for "missing" do not hide the numbers between them, however many there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from homeostat.config.model import Label
from homeostat.core.training_data import as_category, as_label, as_number

SIGNS = [".", r"\N", "-", "--", "?", "–", " . "]


MODEL = """
name: shop
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema: {label: {name: y}, features: {x: {type: category}}}
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "shop"
    path.mkdir()
    (path / "model.yaml").write_text(MODEL)
    return path


def sparse(sign: str, mean: float, share: float = 0.9) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(int(mean))
    numbers = rng.normal(mean, 1, 600).round(2)
    missing = rng.random(600) < share
    return numbers[~missing], [sign if gone else f"{x:.2f}" for x, gone in zip(numbers, missing, strict=True)]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("share", [0.25, 0.9])
def test_a_shift_between_signs_is_an_alert(compare, sign, share):
    (before, old), (now, new) = sparse(sign, 1, share), sparse(sign, 10, share)
    found = compare(old, new)["columns"]["x"]
    assert (found["kind"], found["verdict"], found["ks"]) == ("number", "alert", 1)
    assert found["missing_reference"] == (600 - len(before)) / 600
    assert found["missing_current"] == (600 - len(now)) / 600
    assert f"{sign!r} is read as missing" in found["read_as"]


@pytest.mark.parametrize("sign", SIGNS)
def test_the_same_numbers_between_signs_pass(compare, sign):
    _, texts = sparse(sign, 1)
    found = compare(texts, texts[::-1])["columns"]["x"]
    assert (found["kind"], found["verdict"], found["ks"]) == ("number", "pass", 0)


def test_dates_between_signs_are_dates(compare):
    days = pd.date_range("1990-01-01", periods=60, freq="97D").strftime("%Y-%m-%d")
    texts = [day for day in days for _ in range(2)] + ["-"] * 600
    found = compare(texts, texts[::-1])["columns"]["x"]
    assert (found["kind"], found["verdict"]) == ("datetime", "pass")


@pytest.mark.parametrize("sign", [".", "-", "?"])
def test_a_sign_among_categories_is_a_value(compare, sign):
    texts = [sign, "north", "south"] * 50
    found = compare(texts, ["north", "south"] * 75)["columns"]["x"]
    assert (found["kind"], found["missing_reference"], found["verdict"]) == ("category", 0, "alert")


@pytest.mark.parametrize("sign", SIGNS)
def test_training_reads_signs_as_missing_numbers(sign):
    typed = as_number(pd.Series(["1.5", sign, "2"], dtype="str"))
    np.testing.assert_array_equal(typed.column, [1.5, np.nan, 2])
    assert not typed.faults
    assert typed.note == f"{sign!r} is read as missing (1 row)"


@pytest.mark.parametrize("sign", [*SIGNS, "NA", "null"])
@pytest.mark.parametrize("values", [["0", "1"], ["true", "false"], ["1.5", "2"], ["-1", "10"]])
def test_a_sign_among_numbers_and_booleans_is_missing_everywhere(compare, config, sign, values):
    cells = [*values * 40, *[sign] * 20]
    label = as_label(pd.Series(cells, dtype="str"), "classification")
    category = as_category(pd.Series(cells, dtype="str"))
    for typed in (label, category):
        assert typed.column.isna().tolist() == [False] * 80 + [True] * 20
        assert typed.note == f"{sign!r} is read as missing (20 rows)"
        assert not typed.faults
    for asked in ([], ["--config", str(config)]):
        found = compare(cells, cells[::-1], *asked)["columns"]["x"]
        assert (found["missing_reference"], found["missing_current"]) == (0.2, 0.2)
        assert (
            f"{sign!r} is read as missing (20 of 100 values in the reference, 20 of 100 now)"
            in (found["read_as"])
        )


@pytest.mark.parametrize("sign", [*SIGNS, "NA"])
@pytest.mark.parametrize("others", [["north", "1"], ["007", "1"], ["1e5", "2"]])
def test_a_sign_among_text_is_a_category_everywhere(compare, config, sign, others):
    cells = [*others * 40, *[sign] * 20]
    typed = as_category(pd.Series(cells, dtype="str"))
    assert typed.column.tolist() == cells
    assert not typed.note
    found = compare(cells, cells[::-1], "--config", str(config))["columns"]["x"]
    assert (found["missing_reference"], found["read_as"]) == (0, None)


@pytest.mark.parametrize("sign", SIGNS)
def test_a_listed_sign_is_a_class(sign):
    cells = pd.Series(["0", "1", sign], dtype="str")
    label = Label(name="y", classes=["0", "1", sign])
    assert as_label(cells, "classification", label).column.tolist() == ["0", "1", sign]
    assert as_category(cells, listed=["0", "1", sign]).column.tolist() == ["0", "1", sign]


def test_another_word_in_most_rows_is_named(compare):
    _, old = sparse("none given", 1)
    _, new = sparse("none given", 10)
    found = compare(old, new)["columns"]["x"]
    assert found["verdict"] == "not_computable"
    assert "values are 'none given', the others numbers: if it means missing" in found["reason"]
