"""A file that is neither CSV nor Parquet is an error that says what it is, whatever its name."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.adapters.file_formats import binary_format, text_format
from homeostat.adapters.tables import open_table
from homeostat.config.errors import DataError

ROWS = [{"age": 31 + n, "name": "ab"[n % 2]} for n in range(200)]
TABLE = pa.Table.from_pylist(ROWS)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = pd.DataFrame(ROWS).to_csv(index=False)


def packed(write) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def zipped(*names: str) -> bytes:
    def write(out):
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, CSV)

    return packed(write)


def tar(out):
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("t.csv")
        info.size = len(CSV)
        archive.addfile(info, io.BytesIO(CSV.encode()))


def arrow_stream(out):
    with pa.ipc.new_stream(out, TABLE.schema) as writer:
        writer.write_table(TABLE)


def sqlite(path):
    with sqlite3.connect(path) as database:
        pd.DataFrame(ROWS).to_sql("t", database)
    database.close()
    return path.read_bytes()


BINARY = {
    "an Excel workbook": zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"),
    "an OpenDocument file": zipped("mimetypeapplication/vnd.oasis.opendocument.spreadsheet"),
    "a zip archive": zipped("t.csv"),
    "Feather": packed(lambda out: pa.feather.write_feather(TABLE, out)),
    "an Arrow stream": packed(arrow_stream),
    "ORC": packed(lambda out: pa.orc.write_table(TABLE, out)),
    "packed by gzip twice": gzip.compress(gzip.compress(CSV.encode())),
    "packed by bzip2": bz2.compress(CSV.encode()),
    "packed by xz": lzma.compress(CSV.encode()),
    "packed by zstd": pa.compress(CSV.encode(), "zstd", asbytes=True),
    "packed by lz4": pa.compress(CSV.encode(), "lz4", asbytes=True),
    "an archive": packed(tar),
    "a NumPy array": packed(lambda out: np.save(out, np.arange(5.0))),
    "a Python pickle": pickle.dumps(pd.DataFrame(ROWS)),
    "Stata data": packed(lambda out: pd.DataFrame(ROWS).to_stata(out)),
}
TEXT = {
    "JSON Lines": LINES,
    "JSON Lines, blank": "\n\n" + LINES.replace("\n", "\n\n"),
    "JSON": json.dumps(ROWS),
    "JSON, indented": json.dumps(ROWS, indent=2),
    "JSON, of columns": pd.DataFrame(ROWS).to_json(),
    "JSON, nested": json.dumps({"data": ROWS}, indent=1),
    "JSON, of lists": json.dumps([list(row.values()) for row in ROWS]),
    "JSON, of texts": json.dumps(["a", "b"]),
    "JSON, of nulls": "[null, 1]",
    "JSON, empty": "[]\n",
    "JSON, of numbers": json.dumps(list(range(90))),
    "an HTML page": "<!DOCTYPE html>\n<html><head><title>Sign in, please</title>",
    "an HTML page, bare": "\n<HTML>\n<body>no, never</body></HTML>",
    "XML": '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
    "XML, bare": "<rows>\n<row><age>3</age></row>\n</rows>",
    "a Git LFS pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n",
    "ARFF": "% iris\n\n% 1988\n@RELATION iris\n@ATTRIBUTE x REAL\n@DATA\n5.1\n",
    "a dump of SQL": "-- dump\n\n/*!40101 SET NAMES utf8 */;\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t`;",
    "a dump of SQL, rows": "INSERT INTO t VALUES (1, 2);\nINSERT INTO t VALUES (2, 3);\n",
}


@pytest.mark.quick
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t", "t.data", "t.parquet"])
@pytest.mark.parametrize("what", [*BINARY, "an SQLite database"])
def test_binary_formats_are_named(tmp_path, what, name):
    path = tmp_path / name
    path.write_bytes(BINARY[what] if what in BINARY else sqlite(tmp_path / "db"))
    expected = "packed by gzip" if "gzip twice" in what and name == "t.parquet" else what
    with pytest.raises(DataError, match=rf"{name} is (not a Parquet file.*)?{expected}"):
        open_table(str(path))


@pytest.mark.quick
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize("what", TEXT)
def test_text_formats_are_named(tmp_path, what, name):
    content = TEXT[what].encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with pytest.raises(DataError, match=rf"{name} is {what.partition(',')[0]}\W.*; \w+"):
        open_table(str(tmp_path / name))


def test_text_formats_are_named_in_every_encoding(tmp_path):
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le"):
        (tmp_path / "t.csv").write_bytes(LINES.encode(encoding))
        with pytest.raises(DataError, match="is JSON Lines"):
            open_table(str(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    "header",
    [
        *("ORC,FEA1", "ARROW1", "FEA1,FEA2", "PK,Obj", "BZh,x", "[id],[name]", "{id},{name}", "[a]"),
        *("[[,x", "[],x", "{},x", "[[x]]"),
        *("<DATE>\t<OPEN>", "<TICKER>,<PER>", "create_date (utc),x", "set,x=", "version,https", "%PDF,x"),
        *("drop,table", "insert,into", "@id,@relation", "SET=1", '"{""a"": 1}",b'),
    ],
)
def test_odd_column_names_are_no_other_format(tmp_path, header):
    separator = "\t" if "\t" in header else ","
    rows = (separator.join("12") if separator in header else "1") + "\n"
    (tmp_path / "t.csv").write_text(header + "\n" + 9 * rows)
    table = open_table(str(tmp_path / "t.csv"))
    assert sum(batch.num_rows for batch in table.batches(table.names)) == 9


@given(st.lists(st.from_regex(r"[A-Za-z_][A-Za-z0-9_ ]{0,12}", fullmatch=True), min_size=1, unique=True))
def test_plain_column_names_are_no_other_format(names):
    text = ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n"
    assert text_format(text) is None
    assert binary_format(text.encode()) is None


@pytest.mark.parametrize("name", ["t.csv", "t", "t.csv.gz", "t.tsv"])
def test_a_csv_packed_by_gzip_is_read_whatever_its_name(tmp_path, name):
    content = gzip.compress(b"a,b\n1,2\n") + gzip.compress(b"3,4\n")  # two members, as of joined files
    (tmp_path / name).write_bytes(content)
    table = open_table(str(tmp_path / name))
    assert [row for batch in table.batches(["b", "a"]) for row in batch.to_pylist()] == [
        {"b": "2", "a": "1"},
        {"b": "4", "a": "3"},
    ]


def test_a_truncated_gzip_is_an_error(tmp_path):
    whole = gzip.compress("".join(["a,b\n", *(f"{n},{n * n}\n" for n in range(90_000))]).encode())
    (tmp_path / "t.csv").write_bytes(whole[:-20])
    with pytest.raises(DataError, match=r"t\.csv cannot be read"):
        list(open_table(str(tmp_path / "t.csv")).batches(["a"]))
