"""Inferred kinds: the same column has the same kind, however the file spells it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.core.profile.arrow_values import read_values
from homeostat.core.profile.infer import (
    MAX_CODES,
    MAX_LABELS,
    ColumnScan,
    infer_kind,
    is_index_like,
    value_family,
)

RNG = np.random.default_rng(7)


def scan(*arrays) -> ColumnScan:
    found = ColumnScan(keep_numbers=True)
    for array in arrays:
        found.add(array if isinstance(array, pa.Array) else pa.array(array))
    return found


def kind(*arrays):
    return infer_kind(scan(*arrays))


WEEKDAYS = [1, 2, 3, 4, 5, 6, 7] * 20
SPELT = {
    "int8": pa.array(WEEKDAYS, pa.int8()),
    "uint64": pa.array(WEEKDAYS, pa.uint64()),
    "float32": pa.array(WEEKDAYS, pa.float32()),
    "decimal": pa.array([Decimal(day) for day in WEEKDAYS]),
    "text": pa.array([str(day) for day in WEEKDAYS]),
    "text with a point": pa.array([f"{day}.0" for day in WEEKDAYS]),
    "text with blanks around": pa.array([f" {day} " for day in WEEKDAYS]),
    "large text": pa.array([str(day) for day in WEEKDAYS], pa.large_string()),
    "dictionary": pa.array([str(day) for day in WEEKDAYS]).dictionary_encode(),
}


@pytest.mark.parametrize("name", SPELT)
def test_whole_numbers_with_few_values_are_the_same_labels_however_they_are_spelt(name):
    found = scan(SPELT[name])
    assert infer_kind(found) == "category"
    assert found.labels() == {str(day): 20 for day in range(1, 8)}


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, False, None] * 9),
        pa.array(["true", "false", None] * 9),
        pa.array(["True", "FALSE", ""] * 9),
        pa.array([1, 0, None] * 9),
        pa.array([1.0, 0.0, np.nan] * 9),
    ],
    ids=["bool", "text", "other text", "int", "float with NaN"],
)
def test_booleans_are_one_and_zero_in_every_spelling(array):
    found = scan(pa.concat_arrays([array, array]))
    assert infer_kind(found) == "category"
    assert found.labels() == {"1": 18, "0": 18}
    assert (found.rows, found.missing) == (54, 18)


def test_booleans_are_a_category_however_few_rows_there_are():
    assert kind([True, False]) == "category"
    assert kind([1, 0]) == "number"


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RNG.normal(size=50), "number"),
        ([str(x) for x in RNG.normal(size=50)], "number"),
        ([0.25, 0.5] * 50, "number"),
        (list(range(MAX_CODES)) * 10, "category"),
        (list(range(MAX_CODES + 1)) * 10, "number"),
        (list(range(MAX_CODES)) * 9, "number"),
        ([7] * 30, "category"),
        (["a", "b"] * 5, "category"),
        ([f"user {i}" for i in range(50)], "id"),
        (["007", "012", "100"] * 20, "category"),
        ([f"{i:05d}" for i in range(100)], "id"),
        ([None] * 5, "empty"),
        ([np.nan] * 5, "empty"),
        (["", "NA", "null"], "empty"),
        ([], "empty"),
        ([[1], [2]], "opaque"),
        ([{"a": 1}], "opaque"),
        ([b"\x00"], "opaque"),
        ([np.inf, -np.inf, 1.5], "number"),
        ([1e300, -1e300], "number"),
        ([2**63 - 1, -(2**63)], "number"),
        ([dt.date(2026, 1, 1)], "datetime"),
        ([dt.datetime(2026, 1, 1, tzinfo=dt.UTC)], "datetime"),
        (["2026-01-01", "2026-02-01"], "datetime"),
        (["2026-01-01T10:00:00Z", "2026-01-01 10:00:01+02:00"], "datetime"),
        (["1/31/2026 10:00", "2/1/2026 10:00"], "datetime"),
        (["31.1.2026", "1.2.2026"], "datetime"),
        ([dt.timedelta(seconds=90), dt.timedelta(seconds=95)], "number"),
        ([dt.time(10, 30), dt.time(9, 15)], "number"),
        (["2026-01", "x", "y", "z"] * 3, "category"),
    ],
)
def test_the_kind_follows_the_rule(array, expected):
    assert kind(array) == expected


def test_a_few_texts_in_a_column_of_numbers_are_missing_markers_and_many_make_it_text():
    numbers = [str(x) for x in RNG.normal(size=90)]
    assert kind(["?", "off"] * 3 + numbers) == "number"
    assert kind([f"word {i}" for i in range(6)] * 10 + numbers) == "id"
    assert kind(["?"] * 91 + numbers) == "category"
    codes = scan(["1", "2", "3"] * 30 + ["?"])
    assert infer_kind(codes) == "category"
    assert codes.labels() == {"1": 30, "2": 30, "3": 30, "?": 1}


def test_dates_are_seconds_in_every_format():
    day = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    seconds = day.timestamp()
    for array in (
        pa.array([day], pa.timestamp("ms", "UTC")),
        pa.array([day], pa.timestamp("ns", "Europe/Paris")),
        pa.array([day.replace(tzinfo=None)], pa.timestamp("us")),
        pa.array(["2026-03-01T12:00:00Z"]),
        pa.array(["2026-03-01 13:00+01:00"]),
    ):
        found = scan(array)
        assert infer_kind(found) == "datetime"
        assert found.all_numbers().tolist() == [seconds]


def test_the_reference_decides_whether_the_day_or_the_month_comes_first():
    current = ColumnScan(date_format_hint="%d/%m/%Y")
    assert current.add(pa.array(["01/02/2026"])).numbers.tolist() == [
        dt.datetime(2026, 2, 1, tzinfo=dt.UTC).timestamp()
    ]
    assert current.date_format == "%d/%m/%Y"


@given(
    st.lists(
        st.one_of(
            st.none(), st.floats(width=32), st.text(max_size=5), st.integers(), st.booleans(), st.dates()
        ),
        max_size=40,
    ),
    st.integers(1, 7),
)
@settings(max_examples=100, deadline=None)
def test_every_row_is_a_number_a_text_or_missing_whatever_the_batches(values, size):
    rows = pa.array([None if value is None else str(value) for value in values], pa.string())
    whole = scan(rows)
    parts = scan(*(rows[at : at + size] for at in range(0, len(rows), size)))
    for found in (whole, parts):
        assert found.rows == len(values)
        assert found.missing + found.numbers + sum(found.texts.values()) == found.rows
    # the first batch with text decides about dates, so batches are equal only without dates
    if not whole.date_format and not parts.date_format:
        assert (whole.labels(), whole.missing, whole.all_whole) == (
            parts.labels(),
            parts.missing,
            parts.all_whole,
        )
        assert infer_kind(whole) == infer_kind(parts)


def test_the_number_of_kept_labels_is_bounded():
    found = ColumnScan()
    for batch in range(6):
        texts = [f"{batch}-{i}x" for i in range(MAX_LABELS // 2)]
        found.add(pa.array([*texts, *["often"] * 100]))
    assert len(found.texts) <= 2 * MAX_LABELS
    assert found.texts["often"] == 600
    assert sum(found.texts.values()) + found.dropped == found.rows
    assert infer_kind(found) == "id"


def minutes(start: int, n: int):
    return scan(pa.array(np.arange(start, start + n) * 60_000_000, pa.timestamp("us")))


def days(first: int):
    return scan(pa.array(RNG.integers(first, first + 9, 99).astype(np.int32)).cast(pa.date32()))


@pytest.mark.parametrize(
    ("reference", "current", "outside", "expected"),
    [
        (minutes(0, 100), minutes(100, 50), 1.0, True),
        (minutes(0, 100), minutes(50, 100), 0.5, True),
        (minutes(0, 100), minutes(0, 100), 0.0, True),
        (days(0), days(0), 0.0, False),
        (days(0), days(9), 1.0, True),
        (scan(np.arange(100)), scan(np.arange(100, 200)), 1.0, True),
        (scan(np.arange(100)[::-1]), scan(np.arange(100)[::-1]), 0.0, True),
        (scan(np.arange(100)), scan(RNG.permutation(100)), 0.0, False),
        (scan(np.arange(5)), scan(np.arange(5, 10)), 1.0, False),
        (scan(RNG.normal(size=99)), scan(RNG.normal(9, 1, size=99)), 1.0, False),
        (scan(np.repeat(np.arange(50.5), 2)), scan(np.repeat(np.arange(60.5, 99), 2)), 1.0, True),
        (scan(np.repeat(np.arange(50.5), 2)), scan(np.repeat(np.arange(50.5), 2)), 0.0, False),
    ],
    ids=[
        *("later", "half later", "the same span row by row", "unordered dates", "unordered dates, moved"),
        *("ids", "falling ids", "shuffled", "too few", "a measure that moved", "a meter", "sorted"),
    ],
)
def test_index_like_columns_are_recognised(reference, current, outside, expected):
    assert is_index_like(reference, current, outside) is expected


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        ([1.5], "numbers"),
        (["1"], "numbers"),
        (["a", "b", "1"], "text"),
        (["2026-01-01"], "dates"),
        ([None], ""),
    ],
)
def test_value_families(array, expected):
    assert value_family(scan(array)) == expected


def test_infinities_and_huge_integers_stay_numbers():
    values = read_values(pa.array(["inf", "-Infinity", "1e400", str(10**30), "nan"]))
    assert values.numbers.tolist() == [np.inf, -np.inf, np.inf, 1e30]
    assert (values.texts, values.missing) == ({}, 1)
