"""Files of DuckDB: which are read as they are, and that the others are counted all the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.engines import duckdb_counts
from homeostat.adapters.engines.connect import open_engine
from homeostat.adapters.engines.location import parse_location
from homeostat.core.profile import count_arrow_table, fit_edges

pytest.importorskip("duckdb")

ROWS = pa.table(
    {
        "x": [1.0, 2.0, None, 4.0],
        "kind": ["a", "b", "a", None],
        "at": [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3, 4)],
    }
)
EDGES = fit_edges(ROWS.to_pandas(), {"x": "number", "kind": "category"})
DOUBLE = pa.concat_tables([ROWS, ROWS])


@pytest.fixture
def read_by_arrow(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that Arrow read."""
    found: list[str] = []
    count = duckdb_counts.count_parquet

    def noted(edges, path):
        found.append(Path(path).name)
        return count(edges, path)

    monkeypatch.setattr(duckdb_counts, "count_parquet", noted)
    return found


def counted(url: str, expected: pa.Table, edges=EDGES, since: datetime | None = None) -> None:
    with open_engine(parse_location(url)) as table:
        rows = table.between("at", since, None) if since else table
        found = rows.profile(edges)
    assert found.to_body() == count_arrow_table(edges, expected).to_body()


def test_a_file_a_folder_and_a_pattern_are_read_as_they_are(tmp_path, read_by_arrow):
    (tmp_path / "deep").mkdir()
    pq.write_table(ROWS, tmp_path / "one.parquet")
    pq.write_table(ROWS, tmp_path / "deep" / "two.parquet")
    counted(f"duckdb://{tmp_path}/one.parquet", ROWS)
    counted(f"duckdb://{tmp_path}", DOUBLE)
    counted(f"duckdb://{tmp_path}/*.parquet", ROWS)
    assert sorted(read_by_arrow) == ["one.parquet", "one.parquet", "one.parquet", "two.parquet"]


def test_files_of_different_types_are_put_together_by_duckdb(tmp_path, read_by_arrow):
    pq.write_table(ROWS, tmp_path / "one.parquet")
    whole = ROWS.set_column(0, "x", pa.array([1, 2, None, 4], pa.int64()))
    pq.write_table(whole, tmp_path / "two.parquet")
    counted(f"duckdb://{tmp_path}", DOUBLE)
    assert read_by_arrow == []


def test_a_column_that_one_file_lacks_is_missing_in_its_rows(tmp_path, read_by_arrow):
    pq.write_table(ROWS, tmp_path / "one.parquet")
    pq.write_table(ROWS.drop_columns("kind"), tmp_path / "two.parquet")
    without = ROWS.set_column(1, "kind", pa.nulls(4, pa.string()))
    counted(f"duckdb://{tmp_path}", pa.concat_tables([ROWS, without]))
    assert read_by_arrow == []


def test_a_column_made_of_folder_names_is_counted(tmp_path, read_by_arrow):
    edges = fit_edges(ROWS.to_pandas(), {"kind": "category"})
    for kind in ("a", "b"):
        (tmp_path / f"kind={kind}").mkdir()
        pq.write_table(ROWS.select(["x"]), tmp_path / f"kind={kind}" / "rows.parquet")
    counted(f"duckdb://{tmp_path}", pa.table({"kind": ["a"] * 4 + ["b"] * 4}), edges)
    assert read_by_arrow == []


def test_a_filter_is_kept(tmp_path, read_by_arrow):
    pq.write_table(ROWS, tmp_path / "one.parquet")
    counted(f"duckdb://{tmp_path}/one.parquet", ROWS.slice(2), since=datetime(2026, 1, 3, tzinfo=UTC))
    assert read_by_arrow == []


def test_files_without_rows_are_empty(tmp_path):
    pq.write_table(ROWS.slice(0, 0), tmp_path / "one.parquet")
    counted(f"duckdb://{tmp_path}", ROWS.slice(0, 0))
