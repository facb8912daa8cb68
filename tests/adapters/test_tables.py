"""Tables of every location and dialect read the same, and errors name the file and what to do."""

from __future__ import annotations

import base64
import contextlib
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from homeostat.adapters import tables, tables_csv
from homeostat.adapters.table_rows import read_frame
from homeostat.adapters.tables import open_table
from homeostat.adapters.tables_parquet import TimeRange
from homeostat.config.errors import ConfigError, DataError, HomeostatError, Unavailable

ROWS = pd.DataFrame({"x": [1.5, 2.5, None], "name": ["a, b", 'say "hi"', "c\nd"], "n": [1, 2, 3]})


def column(table, name):
    """The column's values as text, whatever the file keeps."""
    values = [v for batch in table.batches([name]) for v in batch.column(name).to_pylist()]
    return [None if value is None else str(value) for value in values]


def write(path: Path, rows: pd.DataFrame = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".parquet"):
        rows.to_parquet(path, index=False)
    else:
        rows.to_csv(path, index=False)
    return path


@pytest.mark.quick
@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet", "deep/er/t 1.parquet"])
@pytest.mark.parametrize("how", ["path", "file", "folder", "s3", "s3 folder"])
def test_the_same_columns_from_every_location(tmp_path, s3_server, name, how):
    path = write(tmp_path / "in" / name)
    key = f"tables/{tmp_path.name}/{name}"
    if how.startswith("s3"):
        boto3.client("s3").put_object(Bucket=s3_server.bucket, Key=key, Body=path.read_bytes())
    uri = {
        "path": str(path),
        "file": path.as_uri(),
        "folder": str(tmp_path / "in"),
        "s3": f"s3://{s3_server.bucket}/{key}",
        "s3 folder": f"s3://{s3_server.bucket}/tables/{tmp_path.name}/",
    }[how]
    table = open_table(uri)
    assert table.names == ("x", "name", "n")
    assert table.rows == (3 if "parquet" in name else None)
    assert column(table, "x") == ["1.5", "2.5", None]
    assert column(table, "name") == ["a, b", 'say "hi"', "c\nd"]
    assert column(table, "n") == ["1", "2", "3"]


def test_a_relative_path_starts_from_the_working_directory(tmp_path, monkeypatch):
    write(tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path)
    assert column(open_table("t.csv"), "n") == ["1", "2", "3"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_is_one_table_in_the_order_of_its_names_without_metadata_of_engines(tmp_path, kind):
    write(tmp_path / f"b.{kind}", pd.DataFrame({"n": [3], "late": ["z"]}))
    write(tmp_path / f"a.{kind}", pd.DataFrame({"n": [1.5, 2]}))
    write(tmp_path / f"_tmp/x.{kind}", pd.DataFrame({"n": [9]}))
    write(tmp_path / f".hidden.{kind}", pd.DataFrame({"n": [9]}))
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "readme.txt").write_text("words")
    table = open_table(str(tmp_path))
    assert table.names == ("n", "late")
    assert [float(value) for value in column(table, "n")] == [1.5, 2, 3]
    assert column(table, "late") == [None, None, "z"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_hive_partitions_are_columns(tmp_path, kind):
    write(tmp_path / f"day=2026-01-02/zone=a%2Fb/1.{kind}", pd.DataFrame({"n": [2]}))
    write(tmp_path / f"day=2026-01-01/zone=__HIVE_DEFAULT_PARTITION__/1.{kind}", pd.DataFrame({"n": [1]}))
    table = open_table(str(tmp_path))
    assert table.names == ("n", "day", "zone")
    assert column(table, "day") == ["2026-01-01", "2026-01-02"]
    assert column(table, "zone") == [None, "a/b"]
    assert column(open_table(str(tmp_path / "day=2026-01-02" / "zone=a%2Fb" / f"1.{kind}")), "n") == ["2"]


@pytest.mark.parametrize(
    ("folder", "values"),
    [
        ("x=1", ["1", "1"]),
        ("x=1", [1, 1]),
        ("x=1", [1.0, 1.0]),
        ("x=03", [3, 3]),
        ("x=1.50", [1.5, 1.5]),
        ("x=true", [True, True]),
        ("x=a%2Fb", ["a/b", "a/b"]),
        ("x=2026-01-31", [pd.Timestamp("2026-01-31")] * 2),
        ("x=__HIVE_DEFAULT_PARTITION__", [None, None]),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_may_repeat_its_partition(tmp_path, kind, folder, values):
    write(tmp_path / folder / f"1.{kind}", pd.DataFrame({"n": [1, 2], "x": values}))
    table = open_table(str(tmp_path))
    named = None if "HIVE" in folder else folder.removeprefix("x=").replace("%2F", "/")
    assert column(table, "x") == [named] * 2
    assert column(table, "n") == ["1", "2"]


@pytest.mark.parametrize(
    ("folder", "values"),
    [
        ("x=1", ["1", "2"]),
        ("x=1", [1, None]),
        ("x=1", [1.5, 1]),
        ("x=a", ["a", "A"]),
        ("x=2026-01-31", [pd.Timestamp("2026-01-31 10:00")] * 2),
        ("x=__HIVE_DEFAULT_PARTITION__", [None, "a"]),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_column_that_differs_from_its_partition_is_an_error(tmp_path, kind, folder, values):
    write(tmp_path / folder / f"1.{kind}", pd.DataFrame({"n": [1, 2], "x": values}))
    table = open_table(str(tmp_path))
    assert column(table, "n") == ["1", "2"]  # only what is read is compared
    with pytest.raises(
        DataError, match=rf"x=[^/]*/1\.{kind}: column 'x' holds .*, its folder says x=.*; rename"
    ):
        column(table, "x")


def test_csv_dialects(tmp_path):
    path = tmp_path / "t.csv"
    for text in ("a;b\n1,5;2\n\n3;\n", "\ufeffa;b\r\n1,5;2\r\n3;NA\r\n", 'a;"b"\n"1,5";"2"\n3;null'):
        path.write_text(text, encoding="utf-8", newline="")
        table = open_table(str(path))
        assert table.names == ("a", "b")
        third = {"NA": "NA", "null": "null"}.get(text.split("3;")[1].strip())  # a text, unless it is empty
        assert (column(table, "a"), column(table, "b")) == (["1,5", "3"], ["2", third])
    path.write_text("a\tb\n1\t2\n")
    assert column(open_table(str(path)), "b") == ["2"]
    path.write_text(",b\n0,2\n")
    assert open_table(str(path)).names == ("Unnamed: 0", "b")


@pytest.mark.parametrize("text", ["a,b", "a,b\n", "a,b\r\n", "\ufeffa,b\n"])
def test_a_header_alone_is_a_table_without_rows(tmp_path, text):
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    table = open_table(str(tmp_path / "t.csv"))
    assert table.names == ("a", "b")
    assert column(table, "a") == []


def test_parquet_without_rows_or_with_types_of_every_kind(tmp_path):
    write(tmp_path / "t.parquet", ROWS.head(0))
    assert (open_table(str(tmp_path)).rows, column(open_table(str(tmp_path)), "x")) == (0, [])
    nested = pa.table({"a.b": [1], "list": [[1, 2]], "struct": [{"b": 1}], "null": pa.nulls(1)})
    pq.write_table(nested, tmp_path / "t.parquet")
    table = open_table(str(tmp_path / "t.parquet"))
    assert table.types["list"].startswith("list")
    assert column(table, "a.b") == ["1"]
    assert column(table, "struct") == ["{'b': 1}"]


def test_a_column_that_no_file_has_is_null_in_every_row(tmp_path):
    for name in ("t.csv", "t.parquet"):
        table = open_table(str(write(tmp_path / name)))
        assert column(table, "absent") == [None, None, None]


def test_the_number_of_csv_rows_is_estimated_before_reading(tmp_path):
    many = pd.DataFrame({"n": np.arange(20_000), "x": 0.25})
    assert 15_000 < open_table(str(write(tmp_path / "t.csv", many))).about_rows < 25_000


BROKEN = {
    "gone.csv": (None, r"gone\.csv does not exist; relative paths start from /"),
    "empty.csv": (b"", r"empty\.csv is empty; .*column"),
    "blank.csv": (b"\n \n", r"blank\.csv is empty; the first line must name the columns"),
    "empty.parquet": (b"", r"empty\.parquet is empty"),
    "not.parquet": (b"a,b\n1,2\n", r"not\.parquet is not a Parquet file.*is it CSV"),
    "short.parquet": (b"PAR1....", r"short\.parquet cannot be read as parquet"),
    "really.csv": (b"PAR1....PAR1", r"really\.csv is a Parquet file; rename it"),
    "binary.csv": (bytes(range(256)) * 9, r"binary\.csv is not text in UTF-8, UTF-16"),
    "latin.csv": (
        "a,b\né,2\n".encode("latin-1"),
        r"latin\.csv is not UTF-8 text \(byte 4, in line 2: 0xe9, which is 'é' in .*UTF-16 were tried",
    ),
    "latin_late.csv": (
        b"a,b\n" + b"1,2\n" * 40_000 + b"\xe9,2\n",
        r"latin_late\.csv is not UTF-8 text \(byte 160004, in line 40002: 0xe9.*Save it as UTF-8",
    ),
    "twice.csv": (b"a,b,a\n1,2,3\n", r"twice\.csv: duplicate column 'a'"),
    "line.csv": (b"a,b\n1,2\n3\n", r"line\.csv, line 3: 1 fields where .* column names has 2 .*: '3'; fix"),
    "long.csv": (b"a,b\n1,2\n3,4,5\n", r"line 3: 3 fields where .* has 2 \(separator ','\): '3,4,5'"),
    "gzip.csv.gz": (b"a,b\n1,2\n", r"gzip\.csv\.gz cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_the_error_on_a_broken_file_names_it_and_says_what_to_do(tmp_path, name):
    content, message = BROKEN[name]
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_all(str(tmp_path / name))


def read_all(uri):
    table = open_table(uri)
    return list(table.batches(table.names))


def test_an_open_quote_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tables_csv, "BLOCK", 2**16)
    (tmp_path / "t.csv").write_text('a,b\n1,"2\n' + "1,2\n" * 90_000)
    with pytest.raises(DataError, match="is a double quote left open"):
        read_all(str(tmp_path / "t.csv"))


def test_the_error_names_a_duplicate_parquet_column(tmp_path):
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="duplicate column 'a'"):
        open_table(str(tmp_path / "t.parquet"))


def test_a_damaged_time_zone_is_an_error(tmp_path):
    times = pa.table({"at": pa.array([0, 1], pa.timestamp("us", "Etc/Zulu"))})
    pq.write_table(times, tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    written = max(re.findall(rb"[A-Za-z0-9+/=]+", content), key=len)  # Arrow's schema, in base64
    damaged = base64.b64encode(base64.b64decode(written).replace(b"Etc/Zulu", b"Etc/Zul\xf3"))
    (tmp_path / "t.parquet").write_bytes(content.replace(written, damaged))
    with pytest.raises(DataError, match=r"t\.parquet cannot be read as parquet: column 'at' has a time zone"):
        open_table(str(tmp_path / "t.parquet"))


@pytest.mark.parametrize("zone", ["Z", "GMT+02:00", "Etc/Zulx", "+02:00", "UTC", "Europe/Berlin"])
def test_instants_do_not_depend_on_the_name_of_the_time_zone(tmp_path, zone):
    moments = [datetime(2026, 7, 1, hour, tzinfo=UTC) for hour in range(5)]
    at = pa.array(moments, pa.timestamp("us", "UTC")).cast(pa.timestamp("us", zone))
    pq.write_table(pa.table({"n": range(5), "at": at}), tmp_path / "t.parquet", store_schema=True)
    table = open_table(str(tmp_path / "t.parquet"))
    assert read_frame(table, ["at", "n"])["at"].dt.tz_convert("UTC").tolist() == moments
    within = TimeRange("at", moments[1], moments[3])
    assert sum(batch.num_rows for batch in table.batches(["n"], within)) == 5


def test_the_error_on_a_folder_without_tables_lists_its_content(tmp_path):
    with pytest.raises(DataError, match=r"without a table in CSV or Parquet; it is empty"):
        open_table(str(tmp_path))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"it holds notes\.txt"):
        open_table(str(tmp_path))
    write(tmp_path / "a.csv")
    write(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"holds \.csv and \.parquet files; name"):
        open_table(str(tmp_path))


def test_a_file_without_a_suffix_is_recognised_by_its_first_bytes(tmp_path):
    write(tmp_path / "t.parquet").rename(tmp_path / "table")
    assert open_table(str(tmp_path / "table")).rows == 3
    write(tmp_path / "t.csv").rename(tmp_path / "lines")
    assert column(open_table(str(tmp_path / "lines")), "n") == ["1", "2", "3"]


@pytest.mark.parametrize("uri", ["ftp://host/x.csv", "https://host/x.csv", "s3://", "s3:///x"])
def test_the_error_on_another_scheme_shows_the_valid_ones(uri):
    with pytest.raises(ConfigError, match="s3://bucket/"):
        open_table(uri)


def test_s3_errors_name_the_object_and_the_cause(s3_server, monkeypatch, free_port):
    with pytest.raises(DataError, match=r"s3://.*/none\.csv does not exist"):
        open_table(f"s3://{s3_server.bucket}/none.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match=r"s3://.*/x\.csv: the object store failed"):
        open_table(f"s3://{s3_server.bucket}/x.csv")


def test_s3_without_credentials_names_the_variables_to_set(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(ConfigError, match=r"no AWS credentials; set AWS_ACCESS_KEY_ID"):
        open_table("s3://bucket/x.csv")


def test_an_unreadable_file_is_a_config_error(tmp_path, monkeypatch):
    from homeostat.adapters import table_location as tables_files

    path = write(tmp_path / "t.csv")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tables_files, "_table_file", refuse)
    with pytest.raises(ConfigError, match=r"t\.csv: permission denied"):
        open_table(str(path))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_batches_are_small_however_large_the_file(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tables, "BATCH_BYTES", 2**16)
    monkeypatch.setattr(tables_csv, "BLOCK", 2**14)
    rows = pd.DataFrame({"x": np.arange(50_000) / 8})
    table = open_table(str(write(tmp_path / f"t.{kind}", rows)))
    sizes = [batch.num_rows for batch in table.batches(["x"])]
    assert sum(sizes) == 50_000
    assert max(sizes) < 5_000


def test_text_comes_as_codes_where_the_file_holds_codes(tmp_path):
    rows = {
        "few": [None if at % 7 == 0 else f"level {at % 5}" for at in range(5_000)],
        "all different": [f"user {at}" for at in range(5_000)],
        "number": list(range(5_000)),
        "nested": [{"few": "x"}] * 5_000,
    }
    for name in ("a", "b"):
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet", row_group_size=1_500)
    table = open_table(str(tmp_path))
    found = pa.Table.from_batches(
        [batch.replace_schema_metadata() for batch in table.batches(list(rows), codes=True)]
    )
    assert pa.types.is_dictionary(found.schema.field("few").type)
    assert found.schema.field("all different").type == pa.string()
    assert table.types["few"] == "string"
    for name, values in rows.items():
        assert found.column(name).to_pylist() == values * 2
    plain = next(table.batches(["few"]))
    assert plain.schema.field("few").type == pa.string()


def test_a_damaged_parquet_file_raises_only_homeostat_errors(tmp_path):
    whole = write(tmp_path / "t.parquet", pd.DataFrame({"x": np.arange(200.0)})).read_bytes()
    refused = 0
    for at in range(0, len(whole) - 1, 97):
        (tmp_path / "d.parquet").write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with contextlib.suppress(HomeostatError):
            read_all(str(tmp_path / "d.parquet"))
            continue
        refused += 1
    assert refused


def test_a_damaged_footer_is_an_error_where_arrow_alone_would_end_the_process(tmp_path):
    times = pa.array(range(20), pa.timestamp("s", "UTC"))
    path = tmp_path / "t.parquet"
    for name in ("at", "g"):
        pq.write_table(pa.table({"at": times, "g": ["a", "b"] * 10}), path)
        field = b"%\x02\x18" + bytes([len(name)]) + name.encode()  # optional (2), and the name
        whole = path.read_bytes()
        assert whole.count(field) == 1
        path.write_bytes(whole.replace(field, b"%\x12" + field[2:]))
        for more in ({"codes": True}, {"between": TimeRange("at", datetime(1970, 1, 1, tzinfo=UTC), None)}):
            with pytest.raises(DataError, match="histogram size mismatch"):
                list(open_table(str(path)).batches(["at", "g"], **more))


BATCH_BYTES = 2**19
PEAK = """
import sys, tracemalloc
import pyarrow as pa
from homeostat.adapters import tables
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config.model import Monitor
tables.BATCH_BYTES = int(sys.argv[3])
before, now = tables.open_table(sys.argv[1]), tables.open_table(sys.argv[2])
compare_tables(before, before, Monitor(), None, lambda _: None)  # whatever is made once is made
tracemalloc.start()
start, highest = pa.total_allocated_bytes(), [0]
def look(_):
    highest.append(pa.total_allocated_bytes() - start + tracemalloc.get_traced_memory()[0])
found = compare_tables(before, now, Monitor(), None, look)
print(found.rows[1], max(highest), tracemalloc.get_traced_memory()[1])
"""


def test_memory_stays_flat_as_the_current_file_grows(tmp_path):
    rng, peaks = np.random.default_rng(1), {}
    for name, n in (("reference", 10_000), ("short", 100_000), ("long", 800_000)):
        rows = pd.DataFrame({f"x{i}": rng.normal(size=n) for i in range(4)})
        rows["label"] = rng.choice(["a", "b", "c"], n)
        rows.to_parquet(tmp_path / f"{name}.parquet", row_group_size=50_000)
    for name in ("short", "long"):
        files = [str(tmp_path / f"{each}.parquet") for each in ("reference", name)]
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *files, str(BATCH_BYTES)],
            env={"PYTHONPATH": str(Path(tables.__file__).parents[2]), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        rows_read, arrow, python = map(int, done.stdout.split())
        peaks[name] = (arrow, python)
        assert rows_read == {"short": 100_000, "long": 800_000}[name]
    size = (tmp_path / "long.parquet").stat().st_size
    (_, python_short), (arrow, python) = peaks["short"], peaks["long"]
    assert python < 1.5 * python_short
    # What Arrow reads ahead depends on its threads: up to eight batches were seen, for a short file fewer.
    assert arrow < 12 * BATCH_BYTES < size / 4
