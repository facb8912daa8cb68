"""--date-format is for the table that needs it; the other is read as without it."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

DAYS = (
    pd.Series(pd.date_range("2020-01-01", "2020-12-12"))
    .loc[lambda day: day.dt.day <= 12]
    .sample(frac=1, random_state=0)
)
OPEN = DAYS.dt.strftime("%d/%m/%Y").tolist()
WRITTEN = {
    "%d/%m/%Y": OPEN,
    "%m/%d/%Y": DAYS.dt.strftime("%m/%d/%Y").tolist(),
    "%d.%m.%y": DAYS.dt.strftime("%d.%m.%y").tolist(),
    "%Y%m%d": DAYS.dt.strftime("%Y%m%d").tolist(),
    "%d/%m/%Y %H:%M": DAYS.dt.strftime("%d/%m/%Y 00:00").tolist(),
    "d": [str(day // (86_400 * 10**9)) for day in DAYS.astype("M8[ns]").astype("int64")],
    "s": [str(day // 10**9) for day in DAYS.astype("M8[ns]").astype("int64")],
    "ms": [str(day // 10**6) for day in DAYS.astype("M8[ns]").astype("int64")],
}
OTHERS = {
    "ISO": DAYS.dt.strftime("%Y-%m-%d").tolist(),
    "ISO with times": DAYS.dt.strftime("%Y-%m-%dT%H:%M:%SZ").tolist(),
    "months by name": DAYS.dt.strftime("%d-%b-%Y").tolist(),
    "points": DAYS.dt.strftime("%d.%m.%Y").tolist(),
}


@pytest.mark.parametrize("date_format", WRITTEN)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("swapped", [False, True])
def test_the_same_days_in_two_formats_pass(compare, date_format, other, swapped):
    tables = [WRITTEN[date_format], OTHERS[other]]
    found = compare(*(tables[::-1] if swapped else tables), "--date-format", f"x={date_format}")
    column = found["columns"]["x"]
    assert (column["kind"], column["verdict"], column["ks"]) == ("datetime", "pass", 0)
    assert (column["unread_reference"], column["unread_current"]) == (0, 0)
    assert "--date-format" not in column["reason"]
    assert not [each for each in found["schema"] if each["kind"] == "retyped"]


@pytest.mark.parametrize("date_format", ["%Y%m%d", "s", "ms", "d"])
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string()])
def test_numbers_of_parquet_are_read_in_the_format(drift, tmp_path, date_format, kind):
    texts = pa.array(WRITTEN[date_format])
    pq.write_table(pa.table({"x": texts.cast(kind)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": pa.array(DAYS)}), tmp_path / "b.parquet")
    found = drift(tmp_path / "a.parquet", tmp_path / "b.parquet", "--date-format", f"x={date_format}")
    column = found["columns"]["x"]
    assert (column["kind"], column["verdict"], column["ks"]) == ("datetime", "pass", 0)
    assert not [each for each in found["schema"] if each["severity"] == "critical"]


@pytest.mark.parametrize("date_format", ["%Y%m%d", "s", "ms", "d"])
def test_without_the_option_the_report_names_it(compare, date_format):
    found = compare(WRITTEN[date_format], OTHERS["ISO"])
    assert f"give --date-format x={date_format}" in found["columns"]["x"]["reason"]
    assert [each["detail"] for each in found["schema"]] == ["numbers in the reference, dates now"]


def test_a_table_that_tells_its_order_keeps_it_beside_one_that_needs_the_format(compare):
    certain = DAYS.dt.strftime("%m/%d/%Y").tolist() + [f"{month:02d}/28/2020" for month in range(1, 13)] * 9
    column = compare(OPEN, certain, "--date-format", "x=%d/%m/%Y")["columns"]["x"]
    assert (column["unread_current"], column["kind"]) == (0, "datetime")
    assert column["read_as"] == "read with dates as %d/%m/%Y in the reference, dates as %m/%d/%Y now"


def test_a_format_that_fits_no_table_leaves_values_unread(compare):
    certain = [f"{month:02d}/{day:02d}/2020" for month in range(1, 13) for day in range(1, 29)]
    column = compare(certain, certain, "--date-format", "x=%d/%m/%Y")["columns"]["x"]
    assert column["unread_current"] == 12 * 16


JANUARY = [f"{day:02d}/01/2024" for day in range(1, 32)] * 5
FEBRUARY = [f"02/{day:02d}/2024" for day in range(1, 13)] * 5


@pytest.mark.parametrize("swapped", [False, True])
def test_dates_that_fit_better_in_another_order_get_no_verdict(compare, swapped):
    tables = [FEBRUARY, JANUARY] if swapped else [JANUARY, FEBRUARY]
    column = compare(*tables)["columns"]["x"]
    assert (column["verdict"], column["ks"]) == ("not_computable", None)
    file = "a.csv" if swapped else "b.csv"
    assert column["reason"] == (
        f"day and month cannot be told apart in {file} (in the order of the other files its dates are "
        "2024-01-02 to 2024-12-02, in the other order 2024-02-01 to 2024-02-12): give --date-format "
        f"x=%m/%d/%Y or --date-format x=%d/%m/%Y, the format of {file}"
    )
    column = compare(*tables, "--date-format", "x=%m/%d/%Y")["columns"]["x"]
    assert (column["unread_reference"], column["unread_current"], column["kind"]) == (0, 0, "datetime")


def test_an_order_that_is_taken_from_the_other_table_is_told(compare):
    current = [f"{day:02d}/01/2024" for day in range(1, 13)] * 5
    column = compare(JANUARY, current)["columns"]["x"]
    assert column["read_as"] == (
        "read with dates as %d/%m/%Y; day and month cannot be told apart in b.csv: read in the order of a.csv"
    )


def test_times_of_day_may_be_missing_in_the_layout_of_the_format(compare):
    both = WRITTEN["%d/%m/%Y %H:%M"][::2] + OPEN[1::2]
    column = compare(both, OTHERS["ISO"], "--date-format", "x=%d/%m/%Y %H:%M")["columns"]["x"]
    assert (column["unread_reference"], column["verdict"]) == (0, "pass")


def test_the_note_says_the_format_of_the_table_that_has_it(compare):
    column = compare(OPEN, OTHERS["ISO"], "--date-format", "x=%d/%m/%Y")["columns"]["x"]
    assert column["read_as"] == "read with dates as %d/%m/%Y in the reference, ISO dates now"
