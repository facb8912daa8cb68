"""Files of a folder whose names do not say what they are: read by content, refused, or named in a note."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import boto3
import pandas as pd
import pytest

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.source_files import read_table
from homeostat.adapters.store_memory import MemoryStore
from homeostat.adapters.table_rows import read_frame
from homeostat.adapters.tables import open_table
from homeostat.cli.commands.backtest_history import read_history
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config.errors import DataError
from homeostat.config.model import Monitor
from homeostat.core.training_data import FILE_NOTES
from reader_entries import PLAIN, ROWS, lines, model

JAN, FEB = "a,b\n1,x\n2,y\n", "a,b\n3,z\n"


def write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def values(folder: Path | str) -> list[str]:
    table = open_table(str(folder))
    return read_frame(table, ["a"])["a"].astype(str).tolist()


def zipped(content: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("t.csv", content)
    return packed.getvalue()


@pytest.mark.parametrize(
    "name", ["feb.txt", "feb.data", "feb", "part-00001", "feb.csv.1", "0000_part_00", "year=2/feb.dat"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_with_the_same_columns_is_read_whatever_its_name(tmp_path, name, packed):
    write(tmp_path / "jan.csv", JAN)
    write(tmp_path / name, gzip.compress(FEB.encode()) if packed else FEB)
    assert sorted(values(tmp_path)) == ["1", "2", "3"]
    assert open_table(str(tmp_path)).notes == []


def test_a_file_of_one_column_is_read_too(tmp_path):
    write(tmp_path / "jan.csv", "a\n1\n2\n")
    write(tmp_path / "feb.txt", "a\n3\n")
    assert values(tmp_path) == ["3", "1", "2"]


def test_a_column_may_begin_in_such_a_file(tmp_path):
    write(tmp_path / "jan.csv", JAN)
    write(tmp_path / "mar.txt", "a,b,c\n4,z,1\n")
    assert open_table(str(tmp_path)).names == ("a", "b", "c")


def test_a_folder_without_any_name_that_says_so_is_read_by_content(tmp_path):
    write(tmp_path / "0000_part_00", "a|b\n1|x\n")
    write(tmp_path / "0001_part_00", "a|b\n2|x\n")
    write(tmp_path / "README", "About these files\nby me\n")
    assert values(tmp_path) == ["1", "2"]
    assert open_table(str(tmp_path)).notes == [
        f"{tmp_path}: 1 file is left out, not read as a part of the table: README"
    ]


def test_parquet_without_a_suffix_is_found_beside_parquet(tmp_path):
    frame = pd.DataFrame({"a": [1]})
    frame.to_parquet(tmp_path / "jan.parquet")
    frame.to_parquet(tmp_path / "feb")
    write(tmp_path / "notes.txt", "a\n5\n")
    table = open_table(str(tmp_path))
    assert (table.rows, "notes.txt" in table.notes[0]) == (2, True)


def test_parts_without_column_names_are_an_error_as_in_named_files(tmp_path):
    write(tmp_path / "0000_part_00", "1|x|2.5\n2|y|2.5\n")
    write(tmp_path / "0001_part_00", "3|x|7.5\n4|y|7.5\n")
    with pytest.raises(DataError, match=r"do(es)? the files? begin with"):
        open_table(str(tmp_path))
    write(tmp_path / "0000_part_00", "n|g|x\n1|x|2.5\n")
    with pytest.raises(DataError, match="does the file begin with a row instead"):
        open_table(str(tmp_path))
    write(tmp_path / "a.csv", "n|g|x\n9|x|2.5\n")
    with pytest.raises(DataError, match=r"0001_part_00.*does the file begin with a row instead"):
        open_table(str(tmp_path))


def test_prose_with_as_many_commas_is_no_part(tmp_path):
    write(tmp_path / "jan.csv", JAN)
    write(tmp_path / "columns.txt", "name,meaning\na,the number\n")
    assert values(tmp_path) == ["1", "2"]
    assert "columns.txt" in open_table(str(tmp_path)).notes[0]


@pytest.mark.parametrize(
    ("pack", "what"), [(zipped, "a zip archive"), (lambda t: bz2.compress(t.encode()), "bzip2")]
)
def test_a_packed_table_is_an_error_unless_it_is_there_unpacked(tmp_path, pack, what):
    write(tmp_path / "jan.csv", JAN)
    write(tmp_path / "feb.csv.pack", pack(FEB))
    with pytest.raises(DataError, match=rf"feb\.csv\.pack is .*{what}.*; or move it out of the folder"):
        open_table(str(tmp_path))
    write(tmp_path / "feb.csv", FEB)
    assert sorted(values(tmp_path)) == ["1", "2", "3"]
    assert what in open_table(str(tmp_path)).notes[0]


def test_what_is_no_part_of_the_table_is_named(tmp_path):
    write(tmp_path / "jan.csv", JAN)
    for name, content in {
        "README.md": "# a,b\n1,2\n",
        "feb.json": '{"a": 3}\n{"a": 4}\n',
        "feb.jsonl": '{"a": 3}\n{"a": 4}\n',
        "jan.csv.bak": JAN,
        "notes.txt": "first, second, third\nmore\n",
        "other.dat": b"\xff\xfe\x00\x01\x02",
        "empty.txt": "",
        ".hidden.txt": FEB,
        "_tmp/feb.txt": FEB,
    }.items():
        write(tmp_path / name, content)
    assert values(tmp_path) == ["1", "2"]
    begin = f"{tmp_path}: 6 files are left out, not read as a part of the table: "
    names = "README.md, feb.json, feb.jsonl (JSON Lines), jan.csv.bak, notes.txt and 1 more"
    assert open_table(str(tmp_path)).notes == [begin + names]


def test_such_files_are_found_in_s3(tmp_path, s3_server):
    key = f"folders/{tmp_path.name}"
    for name, content in {"jan.csv": JAN, "feb.txt": FEB, "README.md": "about"}.items():
        boto3.client("s3").put_object(Bucket=s3_server.bucket, Key=f"{key}/{name}", Body=content.encode())
    uri = f"s3://{s3_server.bucket}/{key}/"
    assert values(uri) == ["3", "1", "2"]
    assert open_table(uri).notes == [f"{uri}: 1 file is left out, not read as a part of the table: README.md"]


def test_every_entry_passes_the_note_on(tmp_path):
    write(tmp_path / "t.csv", PLAIN)
    write(tmp_path / "more.txt", lines(",", [["at", "x", "g", "y"], *ROWS]))
    write(tmp_path / "README.md", "about")
    uri, config = str(tmp_path), model(str(tmp_path))
    note = f"{uri}: 1 file is left out, not read as a part of the table: README.md"
    found = compare_tables(open_table(uri), open_table(uri), Monitor(), config, lambda _: None)
    assert (found.rows.current, found.notes, found.to_json()["notes"]) == (480, (note,), [note])
    rows = ConfiguredSource(MemoryStore()).read(config, None, None)
    assert (len(rows), rows.attrs[FILE_NOTES]) == (480, [note])
    assert read_table(open_table(uri), config).attrs[FILE_NOTES] == [note]
    rows, notes = read_history(config, uri)
    assert (len(rows), notes) == (480, [note])
