"""Of a Delta table the live files are read; Iceberg and Hudi are refused with what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from homeostat.adapters.table_rows import read_frame
from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

PROTOCOL = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}


def part(folder: Path, name: str, *values: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({"x": values}).to_parquet(path)


def commit(folder: Path, version: int, *actions: dict[str, Any]) -> None:
    log = folder / "_delta_log"
    log.mkdir(parents=True, exist_ok=True)
    (log / f"{version:020}.json").write_text("".join(json.dumps(each) + "\n" for each in actions))


def add(path: str, **more: Any) -> dict[str, Any]:
    return {"add": {"path": path, "partitionValues": {}, "size": 1, "dataChange": True, **more}}


def remove(path: str) -> dict[str, Any]:
    return {"remove": {"path": path, "dataChange": True}}


def values(folder: Path, column: str = "x") -> list[Any]:
    return read_frame(open_table(str(folder)), [column])[column].tolist()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    folder = tmp_path / "table"
    for name, number in (("a.parquet", 1), ("b.parquet", 2), ("c.parquet", 3)):
        part(folder, name, number)
    commit(folder, 0, PROTOCOL, add("a.parquet"), add("b.parquet"))
    commit(folder, 1, {"commitInfo": {}}, remove("a.parquet"), add("c.parquet"))
    return folder


def test_the_live_files_of_a_delta_table_are_read(table):
    assert values(table) == [2, 3]
    commit(table, 2, add("a.parquet"), remove("b.parquet"))
    assert values(table) == [1, 3]


def test_a_file_that_no_commit_names_is_left_out(table):
    part(table, "uncommitted.parquet", 9)
    assert values(table) == [2, 3]


def test_partitions_are_those_of_the_log(tmp_path):
    part(tmp_path, "day=2026-01-01/a b.parquet", 1)
    part(tmp_path, "xy/b.parquet", 2)
    commit(
        tmp_path,
        0,
        PROTOCOL,
        add("day=2026-01-01/a%20b.parquet", partitionValues={"day": "2026-01-01"}),
        add("xy/b.parquet", partitionValues={"day": ""}),
    )
    assert values(tmp_path) == [1, 2]
    first, second = values(tmp_path, "day")
    assert first == "2026-01-01"
    assert pd.isna(second)


def test_a_checkpoint_beside_a_whole_log_is_no_matter(table):
    (table / "_delta_log" / f"{1:020}.checkpoint.parquet").write_bytes(b"x")
    (table / "_delta_log" / "_last_checkpoint").write_text('{"version": 1}')
    assert values(table) == [2, 3]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (add("a.parquet", deletionVector={"storageType": "u"}), "with deletion vectors"),
        ({"metaData": {"configuration": {"delta.columnMapping.mode": "name"}}}, "with mapped column names"),
        ({"protocol": {"minReaderVersion": 3, "readerFeatures": ["typeWidening"]}}, "with typeWidening"),
        ({"protocol": {"minReaderVersion": 4}}, "with a newer format"),
        (add("s3://other/x.parquet"), "with files in other folders"),
        (add("none.parquet"), r"without the file none\.parquet"),
    ],
)
def test_what_the_log_asks_beyond_that_is_an_error(table, action, why):
    commit(table, 2, action)
    with pytest.raises(DataError, match=f"is a Delta table {why}.*export the table to Parquet"):
        open_table(str(table))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_log_that_is_not_whole_is_an_error(table, lost):
    commit(table, 2, add("a.parquet"))
    (table / "_delta_log" / f"{lost:020}.json").unlink()
    with pytest.raises(DataError, match=r"begins with a checkpoint or has a gap.*DeltaTable"):
        open_table(str(table))


def test_a_damaged_log_and_an_empty_table_are_errors(table):
    commit(table, 2, remove("b.parquet"), remove("c.parquet"))
    with pytest.raises(DataError, match="it has no rows"):
        open_table(str(table))
    (table / "_delta_log" / f"{2:020}.json").write_text('{"add": ')
    with pytest.raises(DataError, match="damaged entry"):
        open_table(str(table))


@pytest.mark.parametrize(
    ("kind", "mark", "data"),
    [
        ("Iceberg", "metadata/00000-ab.metadata.json", "data/a.parquet"),
        ("Iceberg", "metadata/v1.metadata.json", "data/day=1/a.parquet"),
        ("Hudi", ".hoodie/hoodie.properties", "day=1/a.parquet"),
    ],
)
def test_iceberg_and_hudi_are_errors_with_what_to_do(tmp_path, kind, mark, data):
    part(tmp_path, data, 1)
    (tmp_path / mark).parent.mkdir()
    (tmp_path / mark).write_text("{}")
    for folder in (tmp_path, (tmp_path / data).parent):
        with pytest.raises(DataError, match=f"{kind}.*keeps deleted and replaced rows.*export the table"):
            open_table(str(folder))


def test_a_partition_of_a_delta_table_and_a_folder_of_tables_are_errors(table):
    part(table, "day=1/a.parquet", 1)
    with pytest.raises(DataError, match=f"is a part of the Delta table in {table}"):
        open_table(str(table / "day=1"))
    with pytest.raises(DataError, match=rf"holds the Delta table .*{table.name} among others"):
        open_table(str(table.parent))


def test_a_folder_named_data_or_by_a_partition_is_read_as_before(tmp_path):
    part(tmp_path, "data/day=1/a.parquet", 1)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "about.json").write_text("{}")
    assert values(tmp_path / "data") == values(tmp_path / "data" / "day=1") == [1]
