"""Whole numbers beyond 2^53 are compared exactly, in every format that holds them."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

SNOWFLAKE = 1745120386240184320
FORMATS = {
    "csv": lambda values: [str(v) for v in values],
    "csv with .0": lambda values: [f"{v}.0" for v in values],
    "csv with commas": lambda values: [f"{v:,}" for v in values],
    "csv with words": lambda values: ["NA", *map(str, values)],
    "int64": lambda values: pa.array(values, pa.int64()),
    "int64 with nulls": lambda values: pa.array([None, *values], pa.int64()),
    "uint64": lambda values: pa.array(values, pa.uint64()),
    "uint64 beyond int64": lambda values: pa.array([v + 2**63 for v in values], pa.uint64()),
    "decimal": lambda values: pa.array([Decimal(v) for v in values], pa.decimal128(38, 0)),
    "decimal with places": lambda values: pa.array([Decimal(v) for v in values], pa.decimal128(38, 4)),
    "decimal beyond 64 bits": lambda values: pa.array(
        [Decimal(v * 10**12) for v in values], pa.decimal128(38, 0)
    ),
    "text in Parquet": lambda values: pa.array([str(v) for v in values]),
    "text beyond 64 bits": lambda values: [str(v + 10**25) for v in values],
}


@pytest.fixture(params=FORMATS)
def column(request, drift, tmp_path):
    """Compare two columns of whole numbers in one format."""

    def call(before, now):
        paths = []
        for name, values in (("a", before), ("b", now)):
            written = FORMATS[request.param](list(map(int, values)))
            if isinstance(written, list):
                path = tmp_path / f"{name}.csv"
                path.write_text("x\n" + "".join(f'"{text}"\n' for text in written))
            else:
                path = tmp_path / f"{name}.parquet"
                pq.write_table(pa.table({"x": written}), path, row_group_size=50)
            paths.append(path)
        return drift(*paths)["columns"]["x"]

    return call


def test_other_keys_are_never_seen(column):
    keys = SNOWFLAKE + np.arange(160) % 2
    found = column(keys, keys + 2)
    assert (found["kind"], found["verdict"], found["unseen_share"]) == ("category", "alert", 1)
    assert list(found["unseen_values"].values()) == [80, 80]


def test_the_same_keys_pass(column):
    keys = SNOWFLAKE + np.arange(160) % 3
    found = column(keys, keys[::-1])
    assert (found["kind"], found["verdict"], found["cramers_v"]) == ("category", "pass", 0)


def test_ids_that_go_on_are_left_out(column):
    ids = SNOWFLAKE + np.random.default_rng(0).permutation(80)
    found = column(ids, ids + 80)
    assert (found["kind"], found["verdict"]) == ("id", "not_computable")
    assert "goes on from the reference" in found["reason"]


@pytest.mark.parametrize("first", [0, 1, SNOWFLAKE])
def test_row_numbers_that_start_anew_are_left_out(column, first):
    found = column(np.arange(300) + first, np.arange(180) + first)
    assert (found["kind"], found["verdict"]) == ("id", "not_computable")
    assert "numbers the rows of both tables from" in found["reason"]


def test_a_shift_of_numbers_is_measured_exactly(column):
    rng = np.random.default_rng(1)
    before, now = rng.integers(0, 100, 400), rng.integers(20, 120, 400)
    found = column(SNOWFLAKE + before, SNOWFLAKE + now)
    assert (found["kind"], found["verdict"]) == ("number", "alert")
    assert found["ks"] == pytest.approx(stats.ks_2samp(before, now, method="asymp").statistic, abs=1e-12)


def test_formats_agree(drift, tmp_path):
    keys = [SNOWFLAKE + at % 5 for at in range(100)]
    (tmp_path / "a.csv").write_text("x\n" + "".join(f"{key}\n" for key in keys))
    pq.write_table(pa.table({"x": pa.array(keys, pa.uint64())}), tmp_path / "b.parquet")
    found = drift(tmp_path / "a.csv", tmp_path / "b.parquet")["columns"]["x"]
    assert (found["verdict"], found["cramers_v"]) == ("pass", 0)


def test_numbers_that_become_fractions_are_compared_as_floats(drift, tmp_path):
    values = [SNOWFLAKE + at * 10**15 for at in range(100)]
    (tmp_path / "a.csv").write_text("x\n" + "".join(f"{value}\n" for value in values))
    (tmp_path / "b.csv").write_text("x\n" + "".join(f"{value}.5\n" for value in values) + "0.5\n")
    found = drift(tmp_path / "a.csv", tmp_path / "b.csv")["columns"]["x"]
    assert (found["kind"], found["verdict"]) == ("number", "pass")
