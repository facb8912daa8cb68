"""Empty lines of a file of one column are missing values; those at its end are no rows."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.adapters.table_rows import read_frame
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config.model import Monitor
from reader_entries import model


def cells(path: Path, column: str = "x") -> list[str | None]:
    table = open_table(str(path))
    return [value or None for batch in table.batches([column]) for value in batch.column(column).to_pylist()]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_empty_lines_between_values_are_missing(tmp_path, end, encoding):
    text = end.join(["x", "1", "", "2", "", "", "3", "", ""])
    assert cells(write(tmp_path / "t.csv", text, encoding)) == ["1", None, "2", None, None, "3"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("x\n\n1\n", [None, "1"]),
        ("\n\nx\n\n1", [None, "1"]),
        ('x\n1\n""\n', ["1", None]),  # as pandas writes a missing value
        ('x\n1\n""\n\n', ["1", None]),
        ("x;\n1;\n;\n2;\n", ["1", None, "2"]),
        ("x\n1,5\n\n2,5\n", ["1,5", None, "2,5"]),
        ("x\n\n\n", []),
        ('"x"\n"a"\n\nNA\n"NA"\n', ["a", None, None, "NA"]),
        ('x\n"a\n\nb"\n\nc\n', ["a\n\nb", None, "c"]),
    ],
)
def test_the_first_and_last_lines_and_quotes(tmp_path, text, found):
    assert cells(write(tmp_path / "t.csv", text)) == found


def test_empty_lines_in_a_file_of_several_columns_are_no_rows(tmp_path):
    assert cells(write(tmp_path / "t.csv", "x,y\n1,2\n\n3,4\n")) == ["1", "3"]


CELLS = st.sampled_from(["1", "2.5", "word", ""])


@given(values=st.lists(CELLS, min_size=1, max_size=40), packed=st.booleans())
def test_every_line_up_to_the_last_value_is_a_row(tmp_path_factory, values, packed):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    content = "\n".join(["name", *values, ""]).encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    right: list[str | None] = [value or None for value in values]
    while right and right[-1] is None:
        right.pop()
    assert cells(path, "name") == right


def test_blocks_end_anywhere(tmp_path, monkeypatch):
    monkeypatch.setattr("homeostat.adapters.rewritten_stream.READ", 3)
    text = "x\n" + "\n".join(str(n) if n % 3 else "" for n in range(200)) + "\n"
    found = cells(write(tmp_path / "t.csv", text))
    assert found == [str(n) if n % 3 else None for n in range(200)]


def test_a_drift_check_and_training_count_the_rows(tmp_path):
    one = write(tmp_path / "a.csv", "x\n" + "".join(f"{n}\n" for n in range(400)))
    two = write(tmp_path / "b.csv", "x\n" + "".join(f"{n}\n" if n % 2 else "\n" for n in range(400)))
    found = compare_tables(open_table(str(one)), open_table(str(two)), Monitor(), None, lambda _: None)
    (column,) = found.columns
    assert (found.rows.current, column.stats.missing_current, column.verdict) == (400, 0.5, "alert")
    times = write(tmp_path / "at.csv", "at\n2024-01-01\n\n2024-01-03\n")
    assert len(read_frame(open_table(str(times)), ["at"])) == 3
    assert len(ConfiguredSource(MemoryStore()).read(model(str(times)), None, None)) == 3
