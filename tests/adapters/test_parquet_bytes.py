"""Bytes of Parquet are text where all values of the column are, for every entry alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.table_rows import read_frame
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config.model import Monitor
from reader_entries import ENTRIES, NAMES, ROWS

TEXTS = ["a", "", "bé", None, "tab\tline\n", "12"]
KINDS = {
    "binary": lambda array: array.cast(pa.binary()),
    "large": lambda array: array.cast(pa.large_binary()),
    "dictionary": lambda array: array.cast(pa.binary()).dictionary_encode(),
}


def write(path: Path, **columns: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return str(path)


def values(uri: str, name: str = "g") -> list[Any]:
    return [value for batch in open_table(uri).batches([name]) for value in batch.column(name).to_pylist()]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_all_text_are_text(tmp_path, kind):
    uri = write(tmp_path / "t.parquet", g=KINDS[kind](pa.array(TEXTS)))
    assert values(uri) == TEXTS
    table = open_table(uri)
    assert isinstance(read_frame(table, ["g"])["g"].dtype, pd.StringDtype)
    assert table.types["g"] == "string"


def test_bytes_of_a_fixed_length_are_text_too(tmp_path):
    uri = write(tmp_path / "t.parquet", g=pa.array([b"ab", b"cd"], pa.binary(2)))
    assert values(uri) == ["ab", "cd"]


@pytest.mark.parametrize("other", [b"\xff\xfe", b"\xe9t\xe9", b"\x00\x00\x00\x07", b"\x1f"])
def test_one_value_that_is_no_text_makes_the_whole_column_bytes(tmp_path, other):
    content = [b"text"] * 70_000
    write(tmp_path / "t" / "a.parquet", g=pa.array(content, pa.binary()))
    write(tmp_path / "t" / "b.parquet", g=pa.array([*content, other], pa.binary()))
    uri = str(tmp_path / "t")
    assert set(values(uri)) == {b"text", other}
    assert open_table(uri).types["g"] == "binary"


def test_a_column_may_be_text_in_one_file_and_bytes_in_another(tmp_path):
    for at in range(20):  # more files than are kept open
        kind = pa.binary() if at % 2 else pa.string()
        write(tmp_path / "t" / f"{at:02}.parquet", g=pa.array([f"v{at}"]).cast(kind))
    assert values(str(tmp_path / "t")) == [f"v{at}" for at in range(20)]


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_reads_them_as_text(tmp_path: Path, entry: Callable[[str], Any]) -> None:
    columns = [pa.array(column) for column in zip(*ROWS, strict=True)]
    text = write(tmp_path / "a.parquet", **dict(zip(NAMES, columns, strict=True)))
    raw = [column.cast(pa.binary()) for column in columns]
    found = entry(write(tmp_path / "b.parquet", **dict(zip(NAMES, raw, strict=True))))
    assert found == entry(text)


def test_a_drift_check_compares_bytes_with_text(tmp_path):
    before = write(tmp_path / "a.parquet", g=pa.array([*"aab"] * 200))
    now = write(tmp_path / "b.parquet", g=pa.array([*"bbb"] * 200).cast(pa.binary()))
    opaque = write(tmp_path / "c.parquet", g=pa.array([b"\xff"] * 600))
    found = compare_tables(open_table(before), open_table(now), Monitor(), None, lambda _: None)
    assert (found.columns[0].verdict, found.schema) == ("alert", ())
    found = compare_tables(open_table(opaque), open_table(opaque), Monitor(), None, lambda _: None)
    assert "bytes that are not all text in UTF-8" in found.columns[0].stats.reason
    found = compare_tables(open_table(before), open_table(opaque), Monitor(), None, lambda _: None)
    assert [(finding.kind, finding.severity) for finding in found.schema] == [("retyped", "critical")]
