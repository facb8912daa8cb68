"""Timestamps of a source: read in any documented format, or an error with what to write into model.yaml."""

from __future__ import annotations

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


@pytest.mark.parametrize("cells", [[1_700_000_000], ["1700000000"]])
def test_numbers_without_a_unit_are_an_error_with_the_cure(cells):
    column = pd.Series(cells) if isinstance(cells[0], int) else pd.Series(cells, dtype="str")
    with pytest.raises(
        DataError, match=r"rows.csv: column 'timestamp' holds numbers.*1700000000.*timestamp_format: ms"
    ):
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
