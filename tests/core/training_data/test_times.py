"""Timestamps of a source: read in any documented format, or an error with what to write into model.yaml."""

from __future__ import annotations

from datetime import date

import pandas as pd
import pytest

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.training_data import coerce_rows
from homeostat.core.training_data.times import read_times


def config(**schema) -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "name": "bike",
            "task": "regression",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": {"temp": {"type": "number"}}} | schema,
        }
    )


OPEN = ["01/02/2024", "03/04/2024"]


@pytest.mark.parametrize(
    ("cells", "schema", "right"),
    [
        (["31-01-2024", "01-02-2024"], {}, ["2024-01-31", "2024-02-01"]),
        (OPEN, {"timestamp_format": "%d/%m/%Y"}, ["2024-02-01", "2024-04-03"]),
        (OPEN, {"timestamp_format": "%m/%d/%Y"}, ["2024-01-02", "2024-03-04"]),
        ([0, 86_400], {"timestamp_format": "s"}, ["1970-01-01", "1970-01-02"]),
        (["0", "86400000"], {"timestamp_format": "ms"}, ["1970-01-01", "1970-01-02"]),
        (["31-Jan-2024", None], {}, ["2024-01-31", None]),
    ],
)
def test_times_are_read_in_the_format_of_the_column_or_of_model_yaml(cells, schema, right):
    found = read_times(pd.Series(cells), config(**schema), "rows.csv")
    assert found.tolist() == pd.to_datetime(pd.Series(right), utc=True).tolist()


@pytest.mark.parametrize(
    ("numbers", "cure"),
    [
        (
            [1704067200, 1709251200],
            "seconds since 1970 (2024-01-01 to 2024-03-01), write schema.timestamp_format: s",
        ),
        ([1704067200.5, 1709251200.25], "write schema.timestamp_format: s"),
        ([1704067200000, 1709251200000], "write schema.timestamp_format: ms"),
        ([1704067200000000, 1709251200000000], "write schema.timestamp_format: us"),
        ([1704067200000000000, 1709251200000000000], "write schema.timestamp_format: ns"),
        (
            [45292.0, 45352.5],
            "days as Excel counts (2024-01-01 to 2024-03-01), format the column as dates in Excel",
        ),
        (
            [20240101, 20240301],
            "dates as %Y%m%d (2024-01-01 to 2024-03-01), write schema.timestamp_format: '%Y%m%d'",
        ),
        ([202401011030, 202403011200], "write schema.timestamp_format: '%Y%m%d%H%M'"),
        ([20240101103000, 20240301120000], "write schema.timestamp_format: '%Y%m%d%H%M%S'"),
        ([1, 2], "write schema.timestamp_format: s or ms or us or ns or d, their unit"),
    ],
)
@pytest.mark.parametrize("dtype", [None, "str"])
def test_numbers_without_a_format_are_an_error_with_the_one_that_fits(numbers, cure, dtype):
    column = pd.Series(numbers * 50, name="timestamp").astype(dtype or type(numbers[0]))
    with pytest.raises(DataError) as error:
        read_times(column, config(), "rows.csv")
    assert str(error.value).startswith(
        f"rows.csv: column 'timestamp' holds numbers such as {column[0]}, expected"
    )
    assert cure in str(error.value)
    if "'%" in cure or cure.endswith(("s", ": s")):
        fitting = cure.rpartition(": ")[2].strip("'")
        if "unit" not in cure:
            assert read_times(column, config(timestamp_format=fitting), "rows.csv").dt.year.eq(2024).all()


@pytest.mark.parametrize(
    ("right", "wrong"), [("s", "d"), ("s", "ms"), ("ms", "us"), ("s", "ns"), ("ms", "s"), ("%Y%m%d", "s")]
)
def test_a_unit_that_puts_all_rows_into_another_age_is_an_error(right, wrong):
    days = pd.date_range("2024-01-01", periods=50)
    counted = (
        days.strftime("%Y%m%d").astype("int64")
        if "%" in right
        else days.astype(f"M8[{right}]").astype("int64")
    )
    column = pd.Series(counted, name="timestamp")
    with pytest.raises(DataError, match=f"write schema.timestamp_format: '?{right}'? instead of {wrong}"):
        read_times(column, config(timestamp_format=wrong), "rows.csv")


UNIX_DAYS = "days since 1970 (2024-01-01 to 2024-03-01), write schema.timestamp_format: d"
SAS_DAYS = (
    "days since 1960 as SAS counts ({}), give the column the format YYMMDD10. in SAS and export it again"
)
SAS_SECONDS = (
    "seconds since 1960 as SAS counts (2024-01-01 to 2024-03-01), give the column the format E8601DT19. "
    "in SAS and export it again"
)
CONVERT = "(2024-01-01 to 2024-03-01), convert them to dates such as 2024-01-31T10:30:00Z"


@pytest.mark.parametrize(
    ("start", "per_second", "advice"),
    [
        ("1970-01-01", 1 / 86_400, [UNIX_DAYS, SAS_DAYS.format("2013-12-31 to 2014-03-01")]),
        (
            "1960-01-01",
            1 / 86_400,
            [
                SAS_DAYS.format("2024-01-01 to 2024-03-01"),
                UNIX_DAYS.replace("2024-01-01 to 2024-03-01", "2034-01-01 to 2034-03-02"),
            ],
        ),
        (
            "1960-01-01",
            1,
            [
                SAS_SECONDS,
                "seconds since 1970 (2034-01-01 to 2034-03-02), write schema.timestamp_format: s",
            ],
        ),
        ("1601-01-01", 10**7, [f"steps of 100 ns since 1601 as Windows counts {CONVERT}"]),
        ("0001-01-01", 10**7, [f"ticks of .NET {CONVERT}"]),
    ],
)
@pytest.mark.parametrize("dtype", ["int64", "str"])
def test_counts_of_other_programs_are_named_and_so_is_all_that_fits(start, per_second, advice, dtype):
    ends = [date(2024, 1, 1), date(2024, 3, 1)]
    seconds = [(end - date.fromisoformat(start)).days * 86_400 for end in ends]
    column = pd.Series([round(each * per_second) for each in seconds] * 50, name="timestamp").astype(dtype)
    with pytest.raises(DataError) as error:
        read_times(column, config(), "rows.csv")
    assert str(error.value).partition("; ")[2] == "; ".join(f"if they are {each}" for each in advice)


@pytest.mark.parametrize("cells", [["1.704067e+09", "1.709251e+09"], ["1.704067E9", "1.709251E9"]])
def test_seconds_with_an_exponent_have_the_hint(cells):
    column = pd.Series(cells, dtype="str", name="timestamp")
    with pytest.raises(DataError, match=r"seconds since 1970 \(2023-12-31 to 2024-02-29\), write .*: s$"):
        read_times(column, config(), "rows.csv")
    found = read_times(column, config(timestamp_format="s"), "rows.csv")
    assert found.tolist() == pd.to_datetime([1704067000, 1709251000], unit="s", utc=True).tolist()


@pytest.mark.parametrize("dtype", ["int64", "float64", "str"])
def test_days_since_1970_are_read(dtype):
    days = pd.date_range("1999-12-30", "2030-01-01", tz="UTC")
    counted = (days.tz_localize(None).astype("M8[s]").astype("int64") // 86_400).to_series().astype(dtype)
    found = read_times(counted.rename("timestamp"), config(timestamp_format="d"), "rows.csv")
    assert found.tolist() == days.tolist()


def test_few_absurd_numbers_do_not_hide_the_unit():
    column = pd.Series([1704067200 + at for at in range(500)] + [0, 9999999999], name="timestamp")
    with pytest.raises(DataError, match=r"timestamp_format: s$"):
        read_times(column, config(), "rows.csv")


def test_day_and_month_that_cannot_be_told_apart_are_an_error_with_the_cure():
    with pytest.raises(
        DataError, match=r"told apart in column 'timestamp', for example '01/02/2024'.*'%d/%m/%Y'"
    ):
        read_times(pd.Series(OPEN), config(), "rows.csv")
    found = coerce_rows(pd.DataFrame({"timestamp": OPEN, "temp": [1, 2], "y": [1, 2]}), config())
    assert found.quarantined["reason"].tolist() == ["timestamp: ambiguous"] * 2


def test_the_times_of_quarantined_rows_are_read_with_the_whole_column():
    rows = pd.DataFrame({"timestamp": ["31/01/2024", "01/02/2024"], "temp": ["1", "warm"], "y": [1, 2]})
    found = coerce_rows(rows, config())
    assert found.quarantined_at.tolist() == [pd.Timestamp("2024-02-01", tz="UTC")]


def test_how_a_column_was_read_is_a_finding():
    rows = pd.DataFrame({"timestamp": ["31/01/2024"] * 2, "temp": ["1,5", "$"], "y": [1, 2]})
    findings = {(each.column, each.kind): each.detail for each in coerce_rows(rows, config()).findings}
    assert findings["timestamp", "read_as"] == "read with dates as %d/%m/%Y"
    assert findings["temp", "read_as"] == "read with decimal commas"
    assert "'$'" in findings["temp", "mistyped"]


def test_a_format_that_is_none_is_an_error_of_model_yaml():
    with pytest.raises(ValueError, match="is no format of dates"):
        config(timestamp_format="yyyy-mm-dd")
