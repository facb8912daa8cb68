"""``homeostat drift`` on tables of engines finds what it finds on the same rows in files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.engines.any_table import open_any_table
from homeostat.adapters.engines.sample import read_sample
from homeostat.api.drift import drift
from homeostat.cli.commands import compare_files, drift_engine
from homeostat.config.errors import ConfigError, DataError

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("ibis")


def rows(seed: int, shift: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "temp": pa.array(rng.normal(shift, 1, 3_000), mask=rng.random(3_000) < 0.05),
            "count": rng.poisson(3, 3_000),
            "season": rng.choice(["spring", "summer", "NA"], 3_000),
            "open": rng.random(3_000) < 0.5,
        }
    )


@pytest.fixture
def files(tmp_path):
    pq.write_table(rows(1, 0), tmp_path / "before.parquet")
    pq.write_table(rows(2, 1), tmp_path / "now.parquet")
    return tmp_path / "before.parquet", tmp_path / "now.parquet"


def found(reference, current) -> dict:
    result = drift(reference, current).to_dict()
    return {
        name: {key: each[key] for key in ("verdict", "ks", "cramers_v", "psi", "missing_current")}
        for name, each in result["columns"].items()
    }


def test_files_through_duckdb_give_the_result_of_the_local_reader(files, capsys):
    before, now = files
    expected = found(before, now)
    assert expected["temp"]["verdict"] == "alert"
    assert found(f"duckdb://{before}", f"duckdb://{now}") == expected
    assert found(f"duckdb://{before}", now) == expected
    assert found(before, f"duckdb://{now}") == expected
    compare_files(
        f"duckdb://{before}", f"duckdb://{now}", config=None, as_json=True, html=None, fail_on_drift=False
    )
    assert json.loads(capsys.readouterr().out)["rows"] == {"reference": 3_000, "current": 3_000}


@pytest.mark.slow
def test_a_table_of_postgresql_gives_the_result_of_the_local_reader(files, postgres_url):
    url = postgres_url.replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute('CREATE TABLE later (temp float8, "count" int8, season text, open bool)')
        with connection.cursor().copy("COPY later FROM STDIN") as copy:
            for row in rows(2, 1).to_pylist():
                copy.write_row(list(row.values()))
    before, now = files
    assert found(f"duckdb://{before}", f"{url}?table=later") == found(before, now)
    assert found(before, url + "?query=SELECT temp, count, season, open FROM later")  # noqa: S608 == found(before, now)
    with open_any_table(f"{url}?table=later") as table:
        first, second = (read_sample(table, ["count"], 500, seed=4, strata="season") for _ in range(2))
    assert first.rows == second.rows
    assert first.rows.num_rows == 500


def test_a_reference_that_is_sampled_is_counted_whole_and_its_error_covers_the_sample(files, monkeypatch):
    before, now = files
    exact = drift(before, now).to_dict()["columns"]
    monkeypatch.setattr(drift_engine, "SAMPLE_ROWS", 400)
    sampled = drift(f"duckdb://{before}", f"duckdb://{now}").to_dict()
    assert sampled["rows"] == {"reference": 3_000, "current": 3_000}
    temp = sampled["columns"]["temp"]
    assert temp["ks"] <= exact["temp"]["ks"] + exact["temp"]["ks_error"]
    assert exact["temp"]["ks"] <= temp["ks"] + temp["ks_error"]
    assert sampled["columns"]["season"]["unseen_share"] == 0
    assert sampled["columns"]["count"]["missing_current"] == 0


def test_a_sample_has_each_stratum_by_its_share_and_is_the_same_each_time(files):
    with open_any_table(f"duckdb://{files[0]}") as table:
        first, again = (
            read_sample(table, ["temp", "open"], 1_000, seed=3, strata="season") for _ in range(2)
        )
        other = read_sample(table, ["temp", "open"], 1_000, seed=4, strata="season")
    assert first.rows == again.rows
    assert first.rows != other.rows
    assert first.rows.num_rows == 1_000
    assert first.rows.column_names == ["temp", "open"]
    for total, kept in first.strata.values():
        assert abs(kept - total / 3) <= 1


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("duckdb://", "neither a table nor a query"),
        ("postgresql://host/db?table=a&query=b", "names table and query"),
        ("duckdb://nowhere.parquet", "nowhere.parquet does not exist"),
        ("duckdb://nowhere.duckdb?table=x", "nowhere.duckdb does not exist"),
    ],
)
def test_an_address_that_names_no_table_says_so(address, words):
    with pytest.raises((ConfigError, DataError), match=words), open_any_table(address):
        pass


def test_a_password_is_in_no_message(free_port):
    address = f"postgresql://user:hidden-word@127.0.0.1:{free_port()}/db?table=x"
    with pytest.raises(Exception, match="does not answer") as raised, open_any_table(address):
        pass
    assert "hidden-word" not in str(raised.value)


def test_a_database_file_of_duckdb_is_opened_read_only(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    path = tmp_path / "rows.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE SCHEMA mart; CREATE TABLE mart.rows AS SELECT range AS x FROM range(50)")
    with open_any_table(f"duckdb://{path}?table=mart.rows") as table:
        assert table.count_rows() == 50
    with open_any_table(f"duckdb://{path}?query=FROM mart.rows SELECT x %2B 1 AS y") as table:
        assert table.names == ("y",)


def test_a_partitioned_folder_is_one_table(tmp_path):
    for day in (1, 2):
        (tmp_path / f"day={day}").mkdir()
        pq.write_table(rows(day, 0), tmp_path / f"day={day}" / "part.parquet")
    with open_any_table(f"duckdb://{tmp_path}") as table:
        assert table.names[-1] == "day"
        assert table.count_rows() == 6_000


def test_sqlite_is_an_engine_too(tmp_path):
    path = tmp_path / "rows.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE rows (x BIGINT, t TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?, ?)", [(n % 7, "ab"[n % 2]) for n in range(200)])
    assert drift(f"sqlite://{path}?table=rows", f"sqlite://{path}?table=rows").verdict == "pass"
