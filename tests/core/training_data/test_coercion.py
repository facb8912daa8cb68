import datetime as dt
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.profile.coerce import as_numbers
from homeostat.core.training_data import as_label, as_number, coerce_rows, coercion_causes


def config(task="classification", **schema):
    features = {
        "temp": {"type": "number"},
        "season": {"type": "category"},
        "gone": {"type": "number", "required": False},
    }
    return ModelConfig.model_validate(
        {
            "name": "bike",
            "task": task,
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": features} | schema,
        }
    )


def frame(**columns):
    size = len(next(iter(columns.values()))) if columns else 2
    base = {
        "timestamp": [f"2024-01-01T{hour:02d}:00:00" for hour in range(size)],
        "temp": [0.5] * size,
        "season": ["1"] * size,
        "gone": [1.0] * size,
        "y": [0, 1] * (size // 2) + [0] * (size % 2),
    }
    return pd.DataFrame(base | columns)


def findings(conformed):
    return {(f.column, f.kind): f.rows for f in conformed.findings}


def test_columns_come_typed_and_in_the_order_of_the_model():
    rows = coerce_rows(frame()[["y", "season", "temp", "gone", "timestamp"]], config(), label=True).rows
    assert list(rows.columns) == ["timestamp", "temp", "season", "gone", "y"]
    assert [str(dtype) for dtype in rows.dtypes] == [
        "datetime64[us, UTC]",
        "float64",
        "str",
        "float64",
        "int64",
    ]
    assert rows.timestamp[0] == datetime(2024, 1, 1, tzinfo=UTC)


def test_no_column_of_the_callers_frame_is_changed():
    raw = frame(temp=["1", "x"])
    before = raw.copy(deep=True)
    coerce_rows(raw, config(), label=True)
    pd.testing.assert_frame_equal(raw, before)


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("warm", "mistyped"),
        ([1], "mistyped"),
        ({"a": 1}, "mistyped"),
        ("1_000", "mistyped"),
        (1j, "mistyped"),
        (float("inf"), "infinite"),
        ("-inf", "infinite"),
        (10**400, "too_large"),
        (10**5000, "too_large"),
        (2**63, "too_large"),
        (str(2**64), "too_large"),
        ("9" * 5000, "too_large"),
        (1e300, "too_large"),
    ],
    ids=lambda cell: repr(cell)[:20] if not isinstance(cell, int) else f"int{cell.bit_length()}",
)
def test_a_cell_that_is_not_a_number_quarantines_its_row(cell, fault):
    found = coerce_rows(frame(temp=pd.Series([0.5, cell, None], dtype=object)), config())
    assert len(found.rows) == 2
    assert found.quarantined["reason"].tolist() == [f"temp: {fault}"]
    assert findings(found)["temp", fault] == 1


@pytest.mark.parametrize("cell", [None, np.nan, pd.NaT, pd.NA, "", " ", "NaN", "null"])
def test_a_missing_number_is_data(cell):
    found = coerce_rows(frame(temp=pd.Series([0.5, cell], dtype=object)), config())
    assert len(found.rows) == 2
    assert found.rows.temp.isna().tolist() == [False, True]


def test_a_column_read_as_text_because_of_one_bad_cell_is_still_numeric():
    found = coerce_rows(frame(temp=["1", " 2.5", "1e3", "bad"]), config())
    assert found.rows.temp.tolist() == [1.0, 2.5, 1000.0]


@pytest.mark.parametrize("dtype", ["Int64", "Float64", "float32", "int8", "uint64", "bool", "category"])
def test_every_numeric_dtype_of_pandas_is_a_number(dtype):
    found = coerce_rows(frame(temp=pd.Series([1, 0]).astype(dtype)), config())
    assert found.rows.temp.tolist() == [1.0, 0.0]
    assert found.rows.temp.dtype == np.float64


def test_dates_are_not_taken_for_numbers():
    found = coerce_rows(frame(temp=pd.to_datetime(["2024-01-01", None])), config())
    assert len(found.quarantined) == 1
    assert found.rows.temp.isna().all()


@pytest.mark.parametrize(
    "cells",
    [[1, 2], [1.0, 2.0], ["1", "2"], pd.Series([1, 2], dtype="Int64"), pd.Series([1, "2"], dtype=object)],
    ids=lambda cell: repr(cell)[:20] if not isinstance(cell, int) else f"int{cell.bit_length()}",
)
def test_a_category_is_the_same_text_whatever_type_it_came_in(cells):
    assert coerce_rows(frame(season=cells), config()).rows.season.tolist() == ["1", "2"]


@pytest.mark.parametrize(
    ("cells", "expected"), [([True, False], ["1", "0"]), (["", "a"], [None, "a"]), ([1.5, 2], ["1.5", "2"])]
)
def test_categories_are_spelled_by_label_text(cells, expected):
    season = coerce_rows(frame(season=cells), config()).rows.season
    assert [None if pd.isna(text) else text for text in season] == expected


@pytest.mark.parametrize("dtype", [object, "str", "category", "float64", "Int64"])
def test_a_missing_category_stays_missing(dtype):
    cells = pd.Series([None, None] if dtype in ("float64", "Int64") else [None, "a"], dtype=dtype)
    season = coerce_rows(frame(season=cells), config()).rows.season
    assert season.isna()[0]
    assert str(season.dtype) == "str"


def test_a_missing_cell_does_not_turn_category_3_into_another_one():
    found = coerce_rows(frame(season=[3.0, None, 2.5]), config())
    assert found.rows.season[0] == "3"
    assert found.rows.season[2] == "2.5"


@pytest.mark.parametrize("cell", [[1], {"a": 1}, b"x", float("inf")], ids=repr)
def test_a_category_that_is_not_a_scalar_is_quarantined(cell):
    found = coerce_rows(frame(season=pd.Series(["a", cell], dtype=object)), config())
    assert len(found.quarantined) == 1


@pytest.mark.parametrize("cell", ["yesterday", None, 5, "2024-13-01", "1700000000"], ids=repr)
def test_an_invalid_timestamp_quarantines_its_row(cell):
    found = coerce_rows(frame(timestamp=pd.Series(["2024-01-01", cell], dtype=object)), config())
    assert found.quarantined["reason"].tolist() == ["timestamp: mistyped"]


@pytest.mark.parametrize(
    "moment",
    ["2024-01-01T01:00:00Z", "2024-01-01 03:00+02:00", pd.Timestamp("2024-01-01 02:00", tz="Europe/Berlin")],
    ids=lambda cell: repr(cell)[:20] if not isinstance(cell, int) else f"int{cell.bit_length()}",
)
def test_times_of_any_zone_come_out_in_utc(moment):
    found = coerce_rows(frame(timestamp=pd.Series([moment], dtype=object)), config())
    assert found.rows.timestamp[0] == datetime(2024, 1, 1, 1, tzinfo=UTC)


def test_a_missing_column_is_named_with_what_it_may_be_called_now():
    with pytest.raises(DataError, match=r"'temp' \(is it 'temp_c' now\?\)"):
        coerce_rows(frame().rename(columns={"temp": "temp_c"}), config())


def test_every_missing_column_is_named():
    with pytest.raises(DataError, match="'timestamp', 'temp'"):
        coerce_rows(frame().drop(columns=["timestamp", "temp"]), config())


def test_an_optional_feature_may_be_absent_and_is_reported():
    found = coerce_rows(frame().drop(columns="gone"), config())
    assert found.rows.gone.isna().all()
    assert findings(found)["gone", "absent"] == 2


def test_an_extra_column_is_dropped_and_reported():
    found = coerce_rows(frame(other=[1, 2]), config())
    assert "other" not in found.rows
    assert findings(found)["other", "extra"] == 2


def test_a_duplicate_column_is_refused():
    raw = pd.concat([frame(), frame()[["temp"]]], axis=1)
    with pytest.raises(DataError, match="two columns named 'temp'"):
        coerce_rows(raw, config())


def test_rows_without_a_label_are_dropped_and_not_quarantined():
    found = coerce_rows(frame(y=[1, None, 0]), config(), label=True)
    assert found.rows.y.tolist() == [1, 0]
    assert str(found.rows.y.dtype) == "int64"
    assert found.quarantined.empty
    assert findings(found)["y", "unlabelled"] == 1


def test_labels_keep_their_kind():
    assert coerce_rows(frame(y=["no", "yes"]), config(), label=True).rows.y.tolist() == ["no", "yes"]
    assert coerce_rows(frame(y=[True, False]), config(), label=True).rows.y.tolist() == [1, 0]
    regression = coerce_rows(frame(y=[1, 2]), config("regression"), label=True).rows.y
    assert str(regression.dtype) == "float64"


SPELLED = {"name": "y", "classes": ["Yes", "No"], "mapping": {1: "Yes", 0: "No", "j": "Yes"}}
WHOLE = {"name": "y", "classes": [0, 1], "mapping": {"Yes": 1, "No": 0}}


@pytest.mark.parametrize(
    ("label", "cells", "classes"),
    [
        (SPELLED, [1, 0], ["Yes", "No"]),
        (SPELLED, [1.0, None, 0], ["Yes", "No"]),
        (SPELLED, [True, False], ["Yes", "No"]),
        (SPELLED, ["j", "1", "No"], ["Yes", "Yes", "No"]),
        (SPELLED, ["Yes", 0, 1.0, None], ["Yes", "No", "Yes"]),
        (WHOLE, ["Yes", "No"], [1, 0]),
        (WHOLE, ["1", "No", None, 0], [1, 0, 0]),
        ({"name": "y", "mapping": {"Yes": 1, "No": 0}}, ["Yes", "No"], [1, 0]),
        ({"name": "y", "mapping": {"Yes": 1}}, ["Yes", "No"], ["1", "No"]),
        ({"name": "y", "mapping": {"j": "Yes"}}, ["j", "No"], ["Yes", "No"]),
    ],
)
def test_labels_become_the_classes_of_model_yaml_however_they_are_spelled(label, cells, classes):
    found = coerce_rows(frame(y=cells), config(label=label), label=True)
    assert found.rows.y.tolist() == classes
    assert str(found.rows.y.dtype) == ("int64" if isinstance(classes[0], int) else "str")
    assert found.quarantined.empty


def test_a_label_that_is_none_of_the_classes_is_quarantined_as_found_and_counted():
    found = coerce_rows(frame(y=["Yes", "Maybe", "yes", None, "1"]), config(label=SPELLED), label=True)
    assert found.rows.y.tolist() == ["Yes", "Yes"]
    assert found.quarantined.y.tolist() == ["Maybe", "yes"]
    assert found.quarantined["reason"].tolist() == ["y: unknown_class"] * 2
    assert findings(found) == {("y", "unknown_class"): 2, ("y", "unlabelled"): 1}
    (finding,) = [each for each in found.findings if each.kind == "unknown_class"]
    assert finding.detail == "not in schema.label.classes, for example 'Maybe'"


def test_a_regression_label_that_is_not_a_number_is_quarantined():
    found = coerce_rows(frame(y=["1.5", "many"]), config("regression"), label=True)
    assert found.quarantined["reason"].tolist() == ["y: mistyped"]


def test_a_row_with_two_faults_is_quarantined_once_with_both():
    found = coerce_rows(frame(temp=["x", "1"], timestamp=["never", "2024-01-01"]), config())
    assert found.quarantined["reason"].tolist() == ["timestamp: mistyped; temp: mistyped"]


def test_quarantined_rows_of_any_kind_can_be_written_to_parquet(tmp_path):
    cells = pd.Series([[1], 10**400, {"a": 1}, b"x", "x", 1j], dtype=object)
    found = coerce_rows(frame(temp=cells), config())
    found.quarantined.to_parquet(tmp_path / "bad.parquet")
    assert len(found.quarantined) == 6


def test_no_rows_give_no_rows():
    found = coerce_rows(frame().iloc[:0], config(), label=True)
    assert found.rows.empty
    assert found.quarantined.empty
    assert list(found.rows.columns) == ["timestamp", "temp", "season", "gone", "y"]


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.datetimes(),
)


@settings(max_examples=100)
@given(st.lists(st.tuples(anything, anything, anything, anything), min_size=1, max_size=12))
def test_every_row_is_kept_or_quarantined_or_unlabelled(cells):
    raw = pd.DataFrame(
        {
            name: pd.Series(list(column), dtype=object)
            for name, column in zip(
                ("timestamp", "temp", "season", "y"), zip(*cells, strict=True), strict=True
            )
        }
    )
    found = coerce_rows(raw, config("regression"), label=True)
    unlabelled = findings(found).get(("y", "unlabelled"), 0)
    assert len(found.rows) + len(found.quarantined) + unlabelled == len(raw)
    assert np.isfinite(found.rows.temp.dropna()).all()
    assert found.rows.timestamp.notna().all()
    assert (found.quarantined["reason"] != "").all()


@pytest.mark.parametrize("dtype", ["int64", "uint64", "str", object])
def test_classes_that_floats_cannot_tell_apart_stay_apart(dtype):
    keys = [174512038624018432 + at for at in range(3)]
    typed = as_label(pd.Series(keys * 2, dtype="int64").astype(dtype), "classification")
    assert list(typed.column) == [str(key) for key in keys * 2]
    assert not typed.faults


@pytest.mark.parametrize("objects", [False, True])
def test_times_of_day_and_durations_are_seconds(objects):
    spans = pd.Series(pd.to_timedelta(["1D", None, "90s", "-250ms"]))
    clock = pd.Series([dt.time(10, 30), None, dt.time(0, 0, 1, 500_000), dt.time(23, 59, 59)], dtype=object)
    for column, right in (
        (spans.astype(object) if objects else spans, [86_400, np.nan, 90, -0.25]),
        (clock, [37_800, np.nan, 1.5, 86_399]),
    ):
        typed = as_number(column)
        np.testing.assert_array_equal(typed.column, right)
        assert not typed.faults
        np.testing.assert_array_equal(as_numbers(column)[0], right)  # what profiles count


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10:30:00", "are times of day: keep them as a number, such as seconds since midnight"),
        ("1 days 01:00:00", "are durations: keep them as a number of seconds"),
        ("PT1H30M", "are durations: keep them as a number of seconds"),
    ],
)
def test_text_that_is_no_number_is_refused_with_what_to_do(text, hint):
    found = coerce_rows(frame(temp=[text]), config())
    detail = f"not of the type in model.yaml, for example {text!r}; values such as {text!r} {hint}"
    assert [each.detail for each in found.findings if each.column == "temp"] == [detail]
    assert coercion_causes(found.quarantined)[0].rule == f"column 'temp' ({detail})"


def test_classes_and_categories_that_differ_in_case_or_blanks_are_findings():
    rows = frame(y=["Yes", "no", "yes ", "yes"], season=["North", "south", "NORTH", None])
    found = {
        each.column: (each.rows, each.detail) for each in coerce_rows(rows, config(), label=True).findings
    }
    likes = "differ only in upper and lower case or blanks, and are different values: write them alike"
    assert found["y"] == (3, f"'Yes', 'yes', 'yes ' {likes}, or map them in schema.label.mapping")
    assert found["season"] == (2, f"'NORTH', 'North' {likes}")


def test_mapped_classes_are_one():
    label = {"name": "y", "mapping": {"Yes": "yes", "yes ": "yes"}}
    rows = frame(y=["Yes", "no", "yes ", "yes"])
    found = coerce_rows(rows, config(label=label), label=True)
    assert not found.findings
    assert found.rows["y"].tolist() == ["yes", "no", "yes", "yes"]
