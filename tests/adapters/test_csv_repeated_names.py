"""Rows that repeat the column names, as in files joined by ``cat``, are left out and counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from homeostat.adapters import tables_csv
from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.backtest_history import read_history
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config.model import Monitor
from homeostat.core.training_data import FILE_NOTES
from reader_entries import PLAIN, model


def read(path: Path, *columns: str) -> tuple[list[list[str]], list[str]]:
    table = open_table(str(path))
    rows: list[list[str]] = []
    for batch in table.batches(columns or table.names):
        rows += map(list, zip(*(column.to_pylist() for column in batch.columns), strict=True))
    return rows, table.notes


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("columns", [("a", "b"), ("a",), ("b",)])
def test_a_line_of_column_names_in_the_middle_is_no_row(tmp_path, columns):
    path = write(tmp_path / "t.csv", "a,b\n1,x\na,b\na,y\n2,b\na,b\n")
    rows = [{"a": "1", "b": "x"}, {"a": "a", "b": "y"}, {"a": "2", "b": "b"}]
    found, notes = read(path, *columns)
    assert found == [[row[name] for name in columns] for row in rows]
    assert notes == [f"{path}: left out 2 rows that repeat the column names"]


@pytest.mark.parametrize("columns", [("0", "b"), ("0",), ("b",)])
def test_a_column_that_is_called_as_a_value_has_as_many_rows_as_the_others(tmp_path, columns):
    path = write(tmp_path / "t.csv", "b,c,0\nx,y,0\nb,c,0\nx,y,1\n")
    assert len(read(path, *columns)[0]) == 2


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('"a","b"\n1,x\n"a","b"\n2,y\n', 2),
        ("\ufeffa,b\n1,x\n\ufeffa,b\n2,y\n", 2),  # two files with a byte order mark
        (",b\n0,x\n,b\n1,y\n", 2),  # the index of pandas
        ("a\n1\na\n2\n", 2),
        ("a\nx\na\ny\n", 3),  # one column of text: a value
        ("2,1\n3,4\n2,1\n", 2),  # no names: the first row of a file without
        ("a,b\n1,x\nb,a\n", 2),
        ("0\n0\n1\n", 2),
        ("0,1\n0,1\n1,0\n", 2),
        ("1990,1991\n1990,1991\n2,3\n", 2),
    ],
)
def test_what_counts_as_column_names(tmp_path, text, rows):
    assert len(read(write(tmp_path / "t.csv", text))[0]) == rows


def test_it_is_found_in_every_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tables_csv, "BLOCK", 4096)
    part = "a,b\n" + "".join(f"{n},{n % 7}\n" for n in range(3000))
    path = write(tmp_path / "t.csv", part * 3)
    found, notes = read(path)
    assert [row[0] for row in found] == [str(n) for n in range(3000)] * 3
    assert "left out 2 rows" in notes[0]


def test_every_entry_leaves_them_out_and_says_so(tmp_path):
    uri = str(write(tmp_path / "t.csv", PLAIN + PLAIN))
    note = f"{uri}: left out 1 row that repeats the column names"
    config = model(uri)
    found = compare_tables(open_table(uri), open_table(uri), Monitor(), config, lambda _: None)
    assert (found.rows.current, found.notes) == (480, (note,))
    rows = ConfiguredSource(MemoryStore()).read(config, None, None)
    assert (len(rows), rows.attrs[FILE_NOTES]) == (480, [note])
    rows, notes = read_history(config, uri)
    assert (len(rows), notes) == (480, [note])
