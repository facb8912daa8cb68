"""Each file of a folder spells its numbers in its own way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

SPELLINGS = {
    "plain": lambda value: f"{value:.2f}",
    "german": lambda value: f"{value:,.2f}".translate(str.maketrans(",.", ".,")),
    "english": lambda value: f"{value:,.2f}",
    "swiss": lambda value: f"{value:,.2f}".replace(",", "'"),
    "euro": lambda value: f"{value:.2f} €".replace(".", ","),
}


@pytest.fixture
def folder(tmp_path):
    def write(name, files):
        (tmp_path / name).mkdir()
        for file, cells in files.items():
            (tmp_path / name / file).write_text("x;y\n" + "".join(f"{cell};a\n" for cell in cells))
        return tmp_path / name

    return write


@pytest.mark.parametrize("first", SPELLINGS)
@pytest.mark.parametrize("second", SPELLINGS)
def test_numbers_are_the_same_however_each_file_spells_them(drift, folder, first, second):
    rng = np.random.default_rng(0)
    before, now = rng.normal(5000, 900, 400).round(2), rng.normal(5400, 900, 400).round(2)
    found = drift(
        folder("a", {"1.csv": map(SPELLINGS["plain"], before)}),
        folder(
            "b",
            {"1.csv": map(SPELLINGS[first], now[:200]), "2.csv": map(SPELLINGS[second], now[200:])},
        ),
    )["columns"]["x"]
    right = stats.ks_2samp(before, now, method="asymp").statistic
    assert found["ks"] <= right + 1e-12 <= found["ks"] + found["ks_error"] + 2e-12
    assert (found["unread_reference"], found["unread_current"]) == (0, 0)
    if first != second:
        assert "in 1.csv and " in found["read_as"]
        assert " in 2.csv now" in found["read_as"]


def test_files_in_which_nothing_tells_the_decimal_mark_get_no_verdict(drift, folder):
    rng = np.random.default_rng(1)
    values = rng.uniform(1, 10, 160)
    points, commas = ([f"{value:.3f}".replace(".", mark) for value in values] for mark in ".,")
    found = drift(
        folder("a", {"a.csv": commas, "b.csv": points}), folder("b", {"a.csv": commas[::-1], "b.csv": points})
    )["columns"]["x"]
    assert found["verdict"] == "not_computable"
    assert "has numbers like 1,234 and like 1.234" in found["reason"]
    certain = [*points, "0.5"]
    found = drift(folder("c", {"a.csv": commas, "b.csv": certain}), folder("d", {"b.csv": certain}))[
        "columns"
    ]["x"]
    assert "1,234 is read as 1234" not in found["reason"], "the file with 0.5 knows"
    assert "read with commas between thousands in a.csv and plain numbers in b.csv" in found["read_as"]


def test_a_file_of_whole_numbers_follows_the_others(drift, folder):
    values = [f"{value},5" for value in range(100)]
    whole = [str(value) for value in range(100)]
    found = drift(
        folder("a", {"a.csv": values, "b.csv": whole}), folder("b", {"a.csv": values, "b.csv": whole})
    )
    assert (found["columns"]["x"]["verdict"], found["columns"]["x"]["ks"]) == ("pass", 0)


MIXED = ["1,5"] * 6 + ["0.0"] * 5 + ["1.0"] + ["1,5"] * 11 + ["2.0"]


def test_a_column_of_two_spellings_is_the_same_in_one_file_and_cut_into_two(drift, folder):
    """7 of its 24 values are in the rarer spelling: more than a tenth; of one of two files it is half."""
    uris = [folder("one", {"a.csv": MIXED}), folder("two", {"a.csv": MIXED[:12], "b.csv": MIXED[12:]})]
    pq.write_table(pa.table({"x": MIXED, "y": ["a"] * len(MIXED)}), uris[0].parent / "x.parquet")
    for before in (*uris, uris[0].parent / "x.parquet"):
        for now in uris:
            found = drift(before, now)["columns"]["x"]
            assert (found["kind"], found["verdict"]) == ("category", "pass")
            assert (found["missing_reference"], found["unread_reference"]) == (0, 0)


def test_a_number_in_another_spelling_is_unread_not_missing(drift, folder):
    cells = ["1,5", "2,25", "0,5", "7,75"] * 30 + ["0.0"] * 5
    uri = folder("a", {"a.csv": cells[:50], "b.csv": cells[50:]})
    found = drift(uri, uri)["columns"]["x"]
    assert (found["kind"], found["missing_reference"], found["unread_reference"]) == ("number", 0, 5)
    assert "could not be read as numbers ('0')" in found["read_as"]
