"""Engines without a count of their own: comparisons in plain Ibis give the same cells, or an error."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.engines.connect import open_engine
from homeostat.adapters.engines.ibis_counts import count_by_comparisons
from homeostat.adapters.engines.location import parse_location
from homeostat.config.errors import ConfigError, DataError
from homeostat.core.profile import count_arrow_table, fit_edges
from homeostat.core.profile.grouped import ColumnGroup, SeasonGroup, SliceGroup, count_groups, whole
from homeostat.core.profile.slices import Slicing

pytest.importorskip("ibis")


@pytest.fixture
def rows() -> pa.Table:
    rng = np.random.default_rng(7)
    missing = rng.random(2_000) < 0.1
    floats = np.append(rng.normal(size=1_994), [np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324])
    whole_numbers = np.append(rng.integers(-5, 5, 1_996), [2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
    return pa.table(
        {
            "number": pa.array(floats, mask=missing),
            "short": pa.array(np.round(rng.normal(size=2_000), 1).astype(np.float32)),
            "whole": pa.array(whole_numbers),
            "flag": pa.array(rng.random(2_000) < 0.3, mask=missing),
            "price": pa.array([f"{each:.2f}" for each in rng.gamma(2, 30, 2_000)]).cast(pa.decimal128(12, 2)),
            "text": rng.choice(["red", "1.0", "true", "", "élan"], 2_000),
        }
    )


KINDS = {"number": "number", "short": "number", "whole": "number", "price": "number", "flag": "category"}
KINDS |= {"text": "category"}


def test_comparisons_count_as_the_local_path_does(rows, tmp_path):
    pq.write_table(rows, tmp_path / "rows.parquet")
    edges = fit_edges(rows.slice(0, 500).to_pandas(), KINDS, max_edges=20)
    with open_engine(parse_location(f"duckdb://{tmp_path / 'rows.parquet'}")) as table:
        found, expected = whole(edges, count_by_comparisons(table, edges, ())), count_arrow_table(edges, rows)
        for name in KINDS:
            assert found.features[name].to_body() == expected.features[name].to_body(), name
        by = [ColumnGroup("text")]
        assert count_by_comparisons(table, edges, by) == count_groups(edges, rows, by)
        slices = [SliceGroup(Slicing("text", "category", ("red", "1", "élan")))]
        assert count_by_comparisons(table, edges, slices) == count_groups(edges, rows, slices)


def test_an_engine_without_an_own_count_is_opened_by_its_url(rows, tmp_path):
    path = tmp_path / "rows.sqlite"
    plain = rows.select(["whole", "text"]).slice(0, 1_990)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (whole BIGINT, text TEXT)")
        connection.executemany(
            "INSERT INTO rows VALUES (?, ?)", [tuple(row.values()) for row in plain.to_pylist()]
        )
    edges = fit_edges(plain.to_pandas(), {name: KINDS[name] for name in plain.column_names})
    with open_engine(parse_location(f"sqlite://{path}?table=rows")) as table:
        assert table.profile(edges) == count_arrow_table(edges, plain)


def test_what_comparisons_cannot_hold_is_refused(rows, tmp_path):
    pq.write_table(rows, tmp_path / "rows.parquet")
    edges = fit_edges(rows.to_pandas(), {"price": "category"})
    with (
        open_engine(parse_location(f"duckdb://{tmp_path / 'rows.parquet'}")) as table,
        pytest.raises(DataError, match=r"column 'price' of type decimal\(12, 2\) .*cast it in a query"),
    ):
        count_by_comparisons(table, edges, ())


@pytest.mark.parametrize(
    "by", [SliceGroup(Slicing("number", "number", cuts=(0.0,))), SeasonGroup("at", "hour_of_day")]
)
def test_groups_that_comparisons_cannot_make_are_refused(rows, tmp_path, by):
    at = pa.array(np.arange(2_000).astype("M8[h]").astype("M8[us]"))
    pq.write_table(rows.append_column("at", at), tmp_path / "rows.parquet")
    edges = fit_edges(rows.to_pandas(), {"number": "number"})
    with (
        open_engine(parse_location(f"duckdb://{tmp_path / 'rows.parquet'}")) as table,
        pytest.raises(DataError, match=rf"column '{by.column}' .*groups are made of text or whole numbers"),
    ):
        count_by_comparisons(table, edges, [by])


def test_an_unknown_engine_is_an_error_that_names_it(tmp_path):
    location = replace(parse_location("duckdb://rows.parquet"), engine="notadb", table="rows", files="")
    with pytest.raises(ConfigError, match="no engine 'notadb'"):
        open_engine(location)
