"""A row is not taken for column names where a folder's files show that it is one."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters.column_names import is_value, looks_like_row
from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

ROWS = [f"{n / 8},{'red' if n % 2 else 'blue'},{n},2024-01-{n % 28 + 1:02}" for n in range(90)]


def split(folder, size, header="x,colour,n,day", *, each=False, rows=ROWS, suffix="csv"):
    """Write the parts of a file, as split(1) does, or as engines do that write a header into each."""
    folder.mkdir(exist_ok=True)
    lines = ([header] if header and not each else []) + rows
    for at in range(0, len(lines), size):
        part = ([header] if header and each else []) + lines[at : at + size]
        (folder / f"part-{at:05}.{suffix}").write_text("\n".join(part) + "\n")
    return str(folder)


def count(uri):
    table = open_table(uri)
    return table.names, sum(batch.num_rows for batch in table.batches(table.names))


@pytest.mark.parametrize("size", [2, 30, 45])
def test_later_parts_without_column_names_are_an_error(tmp_path, size):
    first = ("x,colour,n,day\n" + "\n".join(ROWS)).splitlines()[size].split(",")[0]
    message = (
        rf"part-0*{size}\.csv: its column names, '{first}', .* are none of .*0\.csv; does the file begin"
    )
    with pytest.raises(DataError, match=message):
        open_table(split(tmp_path / "t", size))
    assert count(split(tmp_path / "u", size, each=True)) == (("x", "colour", "n", "day"), 90)


@pytest.mark.parametrize("header", ["n", "name"])
def test_parts_of_one_column_without_names_are_an_error(tmp_path, header):
    rows = [str(n) if header == "n" else "abcdefgh"[n % 8] for n in range(90)]
    with pytest.raises(DataError, match="does the file begin with a row instead"):
        open_table(split(tmp_path / "t", 30, header, rows=rows))


def test_the_part_with_the_names_may_come_last(tmp_path):
    folder = tmp_path / "t"
    split(folder, 100, "x,colour,n,day", rows=ROWS[:30])
    (folder / "a.csv").write_text("\n".join(ROWS[30:]) + "\n")
    with pytest.raises(DataError, match=r"a\.csv: its column names, '3\.75', 'blue'.* begin with a row"):
        open_table(str(folder))


def test_parts_that_all_begin_with_rows_are_an_error(tmp_path):
    with pytest.raises(DataError, match="do the files begin with rows"):
        open_table(split(tmp_path / "t", 30, ""))
    some = [f"{n % 2},{n % 3 + 7},{n / 8}" for n in range(90)]
    with pytest.raises(DataError, match="do the files begin with rows"):  # although they share 1 and 7
        open_table(split(tmp_path / "u", 31, "", rows=some))


def test_a_duplicate_name_that_is_a_value_asks_for_the_line_of_names(tmp_path):
    (tmp_path / "t.csv").write_text("1,1,0.5\n2,1,0.75\n")
    with pytest.raises(DataError, match="rename one, or does the file begin with a row instead"):
        open_table(str(tmp_path / "t.csv"))
    (tmp_path / "t.csv").write_text("x,x,0.5\n2,1,0.75\n")
    with pytest.raises(DataError, match=r"rename one$"):
        open_table(str(tmp_path / "t.csv"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_two_tables_in_a_folder_are_an_error(tmp_path, kind):
    for name, columns in {"a": ["id", "age"], "b": ["id", "age", "late"], "c": ["order", "price"]}.items():
        rows = pa.table({column: ["1", "2"] for column in columns})
        if kind == "csv":
            rows.to_pandas().to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            pq.write_table(rows, tmp_path / f"{name}.parquet")
    with pytest.raises(
        DataError, match=rf"c\.{kind}: .*'order', 'price', are none of .*a\.{kind}.*another table"
    ):
        open_table(str(tmp_path))
    (tmp_path / f"c.{kind}").unlink()
    assert count(str(tmp_path)) == (("id", "age", "late"), 4)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (["0", "1", "2"], ["0", "1", "2"]),  # numbered by pandas
        (["0", "1"], ["0", "1", "2"]),
        (["id", "2019", "2020"], ["id", "2020", "2021"]),
        (["2019", "2020"], ["2020", "2021"]),
        (["id", "2024-01-01", "2024-01-02"], ["id", "2024-01-08", "2024-01-09"]),
        (["", "x"], ["", "x"]),
        (["x", "y"], ["y", "x", "z"]),
        (["x", "old"], ["x", "new"]),
    ],
)
def test_files_that_share_columns_are_one_table(tmp_path, first, second):
    for name, columns in (("a", first), ("b", second)):
        pd.DataFrame([[1.5] * len(columns)] * 3, columns=columns).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    assert count(str(tmp_path))[1] == 6


@pytest.mark.parametrize(
    "text", ["1", "-1.5", "1e-3", "1,5", "$3", "12 %", "2024-01-31", "31.1.24", "NaN", "true", ".5"]
)
def test_a_value_is_no_name(text):
    assert is_value(text)
    assert is_value(f" {text} ")


@pytest.mark.parametrize(
    "text", ["x", "x1", "1st", "", "q 2024", "2024 q1", "-", "V1", "e5", "na_count", "true_x"]
)
def test_a_name_is_no_value(text):
    assert not is_value(text)


def test_numbered_columns_and_years_do_not_look_like_a_row():
    assert not looks_like_row(["0", "1", "2"])
    assert not looks_like_row(["country", "1990", "1991"])
    assert looks_like_row(["5.1", "3.5", "setosa"])
    assert looks_like_row(["5", "3", "setosa"])
