"""Training reads each file of a folder in its own spelling, as drift checks do."""

from __future__ import annotations

import pandas as pd
import pytest

from homeostat.config.errors import DataError
from homeostat.core.training_data import as_number, as_time
from homeostat.core.training_data.file_cells import even_dates, even_numbers


def column(*files):
    cells = [cell for _, cells in files for cell in cells]
    return pd.Series(cells, dtype="str", name="x"), [(name, len(cells)) for name, cells in files]


def test_numbers_of_differing_files_are_read_one_by_one():
    cells, files = column(
        ("a.csv", ["1.163,74", "2,5", "1.234", None, "n/a"]),
        ("b.csv", ["1163.74", "2.5", "x"]),
        ("c.csv", ["1.234"]),
    )
    typed = as_number(even_numbers(cells, files))
    assert typed.column.tolist()[:3] == [1163.74, 2.5, 1234]
    assert typed.column.tolist()[5:7] == [1163.74, 2.5]
    assert typed.column.isna().tolist() == [False] * 3 + [True, True, False, False, True, False]
    assert typed.faults["mistyped"].tolist() == [False] * 7 + [True, False]


@pytest.mark.parametrize(
    "spelled", [["1,5", "2,25"], ["1.5", "2"], ["$1.50", "$2"], ["7", "8"], [None, "word"]]
)
def test_files_that_agree_stay_as_they_are(spelled):
    cells, files = column(("a.csv", spelled), ("b.csv", spelled))
    assert even_numbers(cells, files) is cells


def test_marks_that_nothing_tells_apart_are_an_error():
    cells, files = column(("in/a.csv", ["3,639", "1,907"]), ("in/b.csv", ["6.219", "4.670"]))
    with pytest.raises(DataError, match=r"column 'x': a.csv, b.csv have numbers like 1,234 and like 1.234"):
        even_numbers(cells, files)


def test_dates_of_differing_files_are_read_one_by_one():
    cells, files = column(
        ("a.csv", ["31/01/2024 10:30", "01/02/2024", "x"]), ("b.csv", ["01/31/2024", "02/01/2024", None])
    )
    typed = as_time(even_dates(cells, files)[0])
    expected = ["2024-01-31 10:30", "2024-02-01", None, "2024-01-31", "2024-02-01", None]
    assert typed.column.tolist() == pd.to_datetime(pd.Series(expected), format="mixed", utc=True).tolist()


def test_dates_that_agree_stay_as_they_are():
    for texts in (["31/01/2024"], ["2024-01-31"], ["2024-01-31T10:00:00Z"], ["31 Jan 2024"]):
        cells, files = column(("a.csv", texts), ("b.csv", texts))
        assert even_dates(cells, files)[0] is cells


JANUARY = [f"{day:02d}/01/2024" for day in range(1, 32)]
CROSSWISE = [f"02/{day:02d}/2024" for day in range(1, 13)]
STRAIGHT = [f"{day:02d}/02/2024" for day in range(1, 13)]
FEBRUARY = pd.date_range("2024-02-01", "2024-02-12", tz="UTC").tolist()


def test_a_file_without_an_order_of_its_own_is_named():
    cells, files = column(("in/a.csv", JANUARY), ("in/b.csv", STRAIGHT))
    even, note = even_dates(cells, files)
    assert even is cells
    assert note == "day and month cannot be told apart in b.csv: read in the order of a.csv"


def test_dates_that_fit_better_in_another_order_are_an_error_with_the_format():
    cells, files = column(("in/a.csv", JANUARY), ("in/b.csv", CROSSWISE))
    with pytest.raises(
        DataError,
        match=r"b.csv \(in the order of the other files its dates are 2024-01-02 to 2024-12-02, in the other "
        r"order 2024-02-01 to 2024-02-12\); .*schema.timestamp_format: '%m/%d/%Y' or '%d/%m/%Y'",
    ):
        even_dates(cells, files)


@pytest.mark.parametrize(("written", "date_format"), [(CROSSWISE, "%m/%d/%Y"), (STRAIGHT, "%d/%m/%Y")])
def test_the_format_decides_files_that_leave_the_order_open(written, date_format):
    cells, files = column(("a.csv", JANUARY), ("b.csv", written))
    even, note = even_dates(cells, files, date_format)
    typed = as_time(even, date_format)
    january = pd.date_range("2024-01-01", "2024-01-31", tz="UTC").tolist()
    assert typed.column.tolist() == january + FEBRUARY
    assert not typed.faults
    assert not note
