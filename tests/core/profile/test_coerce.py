"""Columns of every type: instants and durations become seconds, the others keep their values."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile.arrow import is_own_label
from homeostat.core.profile.coerce import MAX_LABEL_BYTES, as_labels, as_numbers, label_of

NOON = pd.Timestamp("2024-02-29 12:00:00.25").to_pydatetime()  # a quarter of a second past it
SECONDS = pd.Timedelta(NOON - pd.Timestamp(0)).total_seconds()
BERLIN = pd.Timestamp(NOON, tz="UTC").tz_convert("Europe/Berlin")


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([NOON, None], dtype="datetime64[us]"),
        pd.Series([NOON, None], dtype="datetime64[ns]"),
        pd.Series([NOON, None], dtype="datetime64[ms]"),
        pd.Series([BERLIN, None]),
        pd.Series([NOON, None], dtype=pd.ArrowDtype(pa.timestamp("us"))),
        pd.Series([BERLIN, None], dtype=pd.ArrowDtype(pa.timestamp("ns", "Europe/Berlin"))),
        pd.Series([NOON, None], dtype=object),
        pd.Series([NOON.replace(tzinfo=dt.UTC), pd.NaT], dtype=object),
        pd.Series([np.datetime64(NOON), None], dtype=object),
        pd.Series([BERLIN, None], dtype=object),
        pd.Series(pd.Series([NOON, None], dtype="datetime64[us]"), dtype="category"),
    ],
    ids=lambda column: str(column.dtype),
)
def test_instants_are_seconds_since_1970_in_utc_however_they_are_stored(column):
    numbers, not_numbers = as_numbers(column)
    assert not_numbers == 0
    assert numbers[0] == SECONDS
    assert np.isnan(numbers[1])


@pytest.mark.parametrize(
    ("column", "seconds"),
    [
        (pd.Series(pd.to_timedelta(["36h", None])), 129_600.0),
        (pd.Series([dt.timedelta(days=1.5), None], dtype=pd.ArrowDtype(pa.duration("ms"))), 129_600.0),
        (pd.Series([dt.timedelta(days=1.5), None], dtype=object), 129_600.0),
        (pd.Series([np.timedelta64(36, "h"), None], dtype=object), 129_600.0),
        (pd.Series([dt.date(1970, 1, 3), None], dtype=object), 172_800.0),
        (pd.Series([dt.date(1970, 1, 3), None], dtype=pd.ArrowDtype(pa.date32())), 172_800.0),
        (pd.Series([dt.time(1, 2, 3, 500_000), None], dtype=object), 3723.5),
        (pd.Series([dt.time(1, 2, 3, 500_000), None], dtype=pd.ArrowDtype(pa.time64("us"))), 3723.5),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_dates_durations_and_times_of_day_are_seconds(column, seconds):
    numbers, not_numbers = as_numbers(column)
    assert not_numbers == 0
    assert numbers.tolist() == [seconds, pytest.approx(np.nan, nan_ok=True)]


def test_years_beyond_what_nanoseconds_hold_are_seconds_too():
    far = pd.Series(np.array(["0001-01-01", "9999-12-31", "NaT"], dtype="datetime64[s]"))
    numbers, not_numbers = as_numbers(far)
    assert (numbers[:2].tolist(), not_numbers) == ([-62_135_596_800.0, 253_402_214_400.0], 0)


@pytest.mark.parametrize(
    ("column", "numbers", "not_numbers"),
    [
        (pd.Series([Decimal("1.5"), None, Decimal("NaN")], dtype=object), [1.5, None, None], 0),
        (pd.Series([Decimal("1.5"), None], dtype=pd.ArrowDtype(pa.decimal128(9, 2))), [1.5, None], 0),
        (pd.Series([1, None], dtype="Int8"), [1, None], 0),
        (pd.Series([2.5, None], dtype="Float32"), [2.5, None], 0),
        (pd.Series([True, None], dtype="boolean"), [1, None], 0),
        (pd.Series([3, None], dtype=pd.ArrowDtype(pa.int16())), [3, None], 0),
        (pd.Series(["7", "x", None], dtype=pd.ArrowDtype(pa.string())), [7, None], 1),
        (pd.Series([1, 2], dtype=pd.CategoricalDtype([1, 2, 99])), [1, 2], 0),
        (pd.Series([b"4", b"x"], dtype=object), [4], 1),
        (pd.Series([1j, 2, None], dtype=object), [2, None], 1),
        (pd.Series([1 + 2j]), [], 1),
        (pd.Series([[1], {"a": 1}, {1}, (1,), None], dtype=object), [None], 4),
        (pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), [None], 1),
        (pd.Series([1, "2", True, None, pd.NA, NOON, "x"], dtype=object), [1, 2, 1, None, None, SECONDS], 1),
        (pd.Series([2**64 - 1, 0], dtype="uint64"), [2.0**64, 0], 0),
        (pd.Series(pd.arrays.SparseArray([0.0, 5.0])), [0, 5], 0),
        (pd.Series([None, None], dtype=pd.ArrowDtype(pa.null())), [None, None], 0),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_numbers_missing_values_and_other_values_are_separate(column, numbers, not_numbers):
    found, left_out = as_numbers(column)
    assert left_out == not_numbers
    assert [None if np.isnan(number) else number for number in found] == numbers


@pytest.mark.parametrize(
    ("column", "labels", "missing"),
    [
        (pd.Series([[1], [1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))), {"[1]": 2}, 1),
        (
            pd.Series([{"a": 1}, None], dtype=pd.ArrowDtype(pa.struct([("a", pa.int64())]))),
            {"{'a': 1}": 1},
            1,
        ),
        (pd.Series(["a", "a", None], dtype=pd.CategoricalDtype(["a", "never"])), {"a": 2}, 1),
        (pd.Series([NOON, None], dtype="datetime64[us]"), {"2024-02-29 12:00:00.250000": 1}, 1),
        (pd.Series([True, 1, "1", 1.0, None], dtype=object), {"1": 4}, 1),
        (pd.Series([b"a", None], dtype=object), {"b'a'": 1}, 1),
        (pd.Series([np.inf, -np.inf, np.nan]), {"inf": 1, "-inf": 1}, 1),
        (pd.Series([Decimal("2.50"), Decimal("2.5")], dtype=object), {"2.5": 2}, 0),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
def test_labels_of_columns_of_any_type(column, labels, missing):
    counts, found, left_out = as_labels(column)
    assert dict(zip(found, counts.tolist(), strict=True)) == labels
    assert left_out == missing


CHANGED = ["1.0", "-3.00", "1e+05", "1.5E10", "-0", "True", "FALSE", "", "x" * 41, "ä" * 21]
OWN = ["user-1", "a1b", "007x", "1.5 kg", "ä", "x" * MAX_LABEL_BYTES, "a\n1", "1\n"]
TEXTS = st.one_of(
    st.sampled_from(CHANGED + OWN), st.text(max_size=45), st.text("-+.0123456789eE\n", max_size=9)
)


@settings(deadline=None)
@given(st.lists(TEXTS, unique=True))
def test_a_text_that_is_its_own_label_is_found_without_spelling_it(texts):
    own = is_own_label(pa.array([*CHANGED, *OWN, *texts], pa.string())).tolist()
    assert own[: len(CHANGED + OWN)] == [False] * len(CHANGED) + [True] * len(OWN)
    for text, kept in zip(texts, own[len(CHANGED + OWN) :], strict=True):
        assert not kept or label_of(text) == text


def test_periods_are_pandas_ordinals_and_a_missing_one_is_missing():
    months = pd.Series(pd.PeriodIndex(["1970-01", "1971-02", None], freq="M"))
    numbers, not_numbers = as_numbers(months)
    np.testing.assert_array_equal(numbers, [0.0, 13.0, np.nan])
    assert not_numbers == 0
