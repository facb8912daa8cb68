"""Columns of any type, against each other: a verdict or a reason, never an exception, never NaN."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import asdict
from decimal import Decimal
from itertools import product

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from homeostat.config.model import Monitor
from homeostat.core.drift import TESTS, compare_profiles
from homeostat.core.profile import Reference, count_dataframe

N = 240
RNG = np.random.default_rng(0)
DAYS = pd.date_range("2024-01-01", periods=N, freq="h").to_series(index=pd.RangeIndex(N))


def repeat(values, dtype=object):
    return pd.Series([values[i % len(values)] for i in range(N)], dtype=dtype)


COLUMNS = {
    "constant": pd.Series(np.full(N, 2.5)),
    "all-missing": pd.Series(np.full(N, np.nan)),
    "all-none": repeat([None]),
    "empty": pd.Series([], dtype=float),
    "empty-text": pd.Series([], dtype=str),
    "single-row": pd.Series([1.0]),
    "integer-coded": pd.Series(RNG.integers(0, 5, N)),
    "boolean": pd.Series(RNG.random(N) < 0.3),
    "nullable-boolean": repeat([True, False, None], "boolean"),
    "identifiers": pd.Series([f"id-{i}" for i in range(N)]),
    "many-categories": pd.Series(RNG.zipf(1.3, N).astype(str)),
    "infinite": pd.Series(np.where(np.arange(N) % 3, np.inf, -np.inf)),
    "some-infinite": pd.Series(np.r_[RNG.normal(size=N - 2), np.inf, -np.inf]),
    "one-absurd": pd.Series(np.r_[RNG.normal(size=N - 1), 1e300]),
    "normal": pd.Series(RNG.normal(size=N)),
    "float16": pd.Series(RNG.normal(size=N).astype(np.float16)),
    "uint64": repeat([2**64 - 1, 0, 5], "uint64"),
    "huge-integers": repeat([10**400, -(10**400), 7]),
    "tiny": repeat([5e-324, 0.0, -5e-324], float),
    "mixed": repeat([1, "2", "x", None, True, 2.5, pd.NA, (1,), b"3"]),
    "instants": DAYS,
    "instants-in-berlin": DAYS.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
    "instants-with-gaps": DAYS.where(np.arange(N) % 4 > 0),
    "instants-as-objects": DAYS.astype(object),
    "dates": repeat([dt.date(2024, 1, day) for day in range(1, 29)]),
    "times-of-day": repeat([dt.time(hour) for hour in range(24)]),
    "durations": DAYS - DAYS[0],
    "periods": pd.Series(pd.period_range("2020-01", periods=N, freq="M")),
    "decimals": repeat([Decimal("1.10"), Decimal("2.5"), Decimal("NaN"), None]),
    "bytes": repeat([b"a", b"\xff", b"1"]),
    "lists": repeat([[1], [1, 2], None]),
    "dictionaries": repeat([{"a": 1}, {"b": [2]}, None]),
    "complex": pd.Series(np.full(N, 1 + 2j)),
    "nullable-integers": repeat([1, 2, None], "Int64"),
    "nullable-floats": repeat([1.5, None], "Float32"),
    "arrow-integers": repeat([1, 2, None], pd.ArrowDtype(pa.int32())),
    "arrow-text": repeat(["a", "7", None], pd.ArrowDtype(pa.string())),
    "arrow-booleans": repeat([True, None], pd.ArrowDtype(pa.bool_())),
    "arrow-decimals": repeat([Decimal("1.10"), None], pd.ArrowDtype(pa.decimal128(9, 2))),
    "arrow-instants": DAYS.astype(pd.ArrowDtype(pa.timestamp("us", "UTC"))),
    "arrow-dates": repeat([dt.date(2024, 1, 1), None], pd.ArrowDtype(pa.date32())),
    "arrow-lists": repeat([[1], [2, 3], None], pd.ArrowDtype(pa.list_(pa.int64()))),
    "arrow-structs": repeat([{"a": 1}, None], pd.ArrowDtype(pa.struct([("a", pa.int64())]))),
    "arrow-dictionary": repeat(["a", "b"], pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
    "arrow-null": repeat([None], pd.ArrowDtype(pa.null())),
    "categorical": pd.Series(repeat(["a", "b", None]), dtype=pd.CategoricalDtype(["a", "b", "never"])),
    "categorical-numbers": pd.Series(repeat([1, 2]), dtype=pd.CategoricalDtype([1, 2, 3])),
    "categorical-instants": DAYS.astype("category"),
    "sparse": pd.Series(pd.arrays.SparseArray(np.where(np.arange(N) % 9, 0.0, 1.0))),
    "text": repeat(["north", "south", "", None], "str"),
    "numbers-as-text": repeat(["1", "2.5", "1e3", "inf", "nan"], "str"),
}
#: What these are compared with, besides themselves.
OTHERS = ("normal", "all-missing", "empty", "mixed", "instants", "text")


@pytest.mark.parametrize("kind", ["number", "category"])
@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_any_column_against_any_other_gets_a_verdict_or_a_reason(name, kind):
    for one, other in {(name, name), *product([name], OTHERS), *product(OTHERS, [name])}:
        reference = Reference.fit(pd.DataFrame({"v": COLUMNS[one]}), {"v": kind})
        window = count_dataframe(reference.edges, pd.DataFrame({"v": COLUMNS[other]}))
        for test in TESTS[kind].values():
            result = test(reference.profile.features["v"], window.features["v"])
            assert (result.value is None) == bool(result.reason), (one, other, result)
        report = compare_profiles(reference.profile, window, Monitor(min_rows=20))
        verdict = report.features[0]
        assert verdict.reason
        json.dumps(report.to_json(), allow_nan=False)
        stats = [value for value in asdict(verdict).values() if isinstance(value, float)]
        assert all(math.isfinite(value) for value in stats)
        if verdict.verdict == "not_computable":
            assert verdict.drifted is None
        if one == other:
            assert verdict.verdict != "alert" or "not numbers" in verdict.reason, (one, verdict)


COMPUTABLE = sorted(
    set(COLUMNS) - {"all-missing", "all-none", "arrow-null", "empty", "empty-text", "single-row"}
)
NO_NUMBERS = {
    *("identifiers", "lists", "dictionaries", "complex", "arrow-lists", "arrow-structs", "arrow-dictionary"),
    *("categorical", "text"),
}


@pytest.mark.parametrize("name", COMPUTABLE)
def test_a_column_with_values_is_comparable(name):
    """A number is comparable unless it has no numbers, a category unless every row has its own label."""
    column = pd.DataFrame({"v": COLUMNS[name]})
    for kind in ("number", "category"):
        reference = Reference.fit(column, {"v": kind})
        verdict = compare_profiles(
            reference.profile, count_dataframe(reference.edges, column), Monitor()
        ).features[0]
        unique = (
            reference.profile.features["v"].edges.kind == "category" and column["v"].map(repr).nunique() > 150
        )
        if (kind == "number" and name in NO_NUMBERS) or unique:
            assert verdict.verdict == "not_computable" or "not numbers" in verdict.reason
        else:
            assert verdict.p_value > 0.5, (kind, verdict)


@pytest.mark.parametrize("name", ["instants", "instants-in-berlin", "instants-as-objects", "arrow-instants"])
def test_later_instants_are_drift_and_the_same_instants_in_another_zone_are_not(name):
    reference = Reference.fit(pd.DataFrame({"v": COLUMNS[name]}), {"v": "number"})
    same = compare_profiles(
        reference.profile,
        count_dataframe(reference.edges, pd.DataFrame({"v": COLUMNS["instants-in-berlin"]})),
        Monitor(),
    )
    assert (same.features[0].verdict, same.features[0].ks) == ("pass", 0.0)
    later = pd.DataFrame({"v": DAYS + pd.Timedelta(days=30)})
    moved = compare_profiles(reference.profile, count_dataframe(reference.edges, later), Monitor()).features[
        0
    ]
    assert (moved.verdict, moved.ks, moved.unseen_share) == ("alert", 1.0, 0.0)
