"""Contract of every source kind: the same rows in the same shape."""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from homeostat.adapters import open_store
from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.config import ModelConfig, load_model
from homeostat.config.errors import ConfigError, DataError, PipelineError, Unavailable
from homeostat.core.training_data import coerce_rows
from homeostat.ports import Store
from homeostat.storage.prediction_log import write_labels, write_predictions

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEXT = """
name: pump
task: classification
pipeline: pipeline.py:build
source: {source}
schema:
  timestamp: at
  key: station
  label: {{name: high, delay: {delay}}}
  features:
    temp: {{type: number}}
    season: {{type: category}}
"""


@pytest.fixture
def rows() -> pd.DataFrame:
    hours = [3, 0, 2, 1, 5, 4]
    return pd.DataFrame(
        {
            "at": [START + h * HOUR for h in hours],
            "station": [f"0{h}" for h in hours],
            "temp": [float(h) for h in hours],
            "season": [str(h % 2) for h in hours],
            "casual": 99,
            "high": [h % 3 == 0 for h in hours],
        }
    )


def configure(folder: Path, source: str, delay: str = "0s") -> ModelConfig:
    model = folder / "pump"
    model.mkdir(exist_ok=True)
    (model / "model.yaml").write_text(TEXT.format(source=source, delay=delay))
    return load_model(model)


def as_text(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(at=rows["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ"))


@pytest.fixture(
    params=[
        *("csv", "parquet", "parquet folder", "s3 csv", "s3 parquet", "sql", "sql bound", "loader"),
        *("predictions", "csv history", "loader history"),
        *(
            "duckdb files",
            "duckdb query",
            "duckdb s3",
            "engine history",
            "postgres table",
            "postgres connection",
        ),
    ]
)
def config(  # noqa: PLR0911  # one for each kind
    request: pytest.FixtureRequest, tmp_path: Path, rows: pd.DataFrame
) -> ModelConfig:
    folder = tmp_path / "pump"
    folder.mkdir()
    kind = request.param
    if kind in ("csv", "csv history", "predictions"):
        as_text(rows if kind == "csv" else rows.iloc[:4]).to_csv(folder / "rows.csv", index=False)
        file = "{kind: csv, uri: rows.csv}"
        of_the_log = {
            "csv history": f"{{kind: predictions, history: {file}}}",
            "predictions": "{kind: predictions}",
        }
        config = configure(tmp_path, of_the_log.get(kind, file))
        if kind in of_the_log:
            log_rows(config, rows if kind == "predictions" else rows.iloc[2:])  # two are in both
        return config
    if kind == "parquet":
        rows.to_parquet(folder / "rows.parquet", row_group_size=2)
        return configure(tmp_path, "{kind: parquet, uri: '" + (folder / "rows.parquet").as_uri() + "'}")
    if kind == "parquet folder":
        for i, part in enumerate((rows.iloc[:4], rows.iloc[4:])):
            (folder / "data" / f"date={i}").mkdir(parents=True)
            part.to_parquet(folder / "data" / f"date={i}" / "part.parquet")
        (folder / "data" / "_metadata.parquet").write_text("written by an engine")
        return configure(tmp_path, "{kind: parquet, uri: data/}")
    if kind.startswith("s3"):
        server = request.getfixturevalue("s3_server")
        form = kind.removeprefix("s3 ")
        data = as_text(rows).to_csv(index=False).encode() if form == "csv" else rows.to_parquet()
        open_store(f"s3://{server.bucket}").put(f"{tmp_path.name}/in/a.{form}", data)
        end = "in" if form == "csv" else "in/a.parquet"
        return configure(tmp_path, f"{{kind: {form}, uri: s3://{server.bucket}/{tmp_path.name}/{end}}}")
    if kind.startswith(("duckdb", "postgres")) or kind == "engine history":
        return configure(tmp_path, engine_source(kind, rows, folder, request))
    if kind.startswith("sql"):
        database = sqlite3.connect(folder / "rows.db")
        rows.assign(at=rows["at"].dt.strftime("%Y-%m-%d %H:%M:%S.%f")).to_sql("rows", database, index=False)
        database.close()
        queries = {
            "sql": "select * from rows",
            "sql bound": "select * from rows where at >= :start and at < :end",
        }
        return configure(tmp_path, f"{{kind: sql, uri: 'sqlite:///rows.db', query: '{queries[kind]}'}}")
    as_text(rows).to_csv(folder / "rows.csv", index=False)
    (folder / "pipeline.py").write_text(
        "from pathlib import Path\nimport pandas as pd\n"
        "def load(start, end):\n"
        "    text = {'season': 'str', 'station': 'str'}\n"
        "    return pd.read_csv(Path(__file__).parent / 'rows.csv', dtype=text)\n"
    )
    loader = "{kind: loader, loader: pipeline.py:load}"
    return configure(tmp_path, f"{{kind: predictions, history: {loader}}}" if kind != "loader" else loader)


def engine_source(kind: str, rows: pd.DataFrame, folder: Path, request: pytest.FixtureRequest) -> str:
    """Put the rows where an engine reads them; return the source."""
    if kind == "duckdb s3":
        server = request.getfixturevalue("s3_server")
        key = f"{folder.parent.name}/engine/a.parquet"
        open_store(f"s3://{server.bucket}").put(key, rows.to_parquet())
        return f"{{kind: engine, uri: 'duckdb://s3://{server.bucket}/{key}'}}"
    if not kind.startswith("postgres"):
        rows.to_parquet(folder / "rows.parquet")
        files = "{kind: engine, uri: 'duckdb://rows.parquet'}"
        query = f"select * from '{folder / 'rows.parquet'}' where casual = 99"  # noqa: S608
        return {
            "duckdb files": files,
            "duckdb query": f'{{kind: engine, uri: "duckdb://", query: "{query}"}}',
            "engine history": f"{{kind: predictions, history: {files}}}",
        }[kind]
    url = request.getfixturevalue("postgres_url")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    rows.to_sql("pump_rows", engine, index=False, if_exists="replace")
    if kind == "postgres table":
        return f"{{kind: engine, uri: '{url}', table: public.pump_rows}}"
    request.getfixturevalue("monkeypatch").setenv("AIRFLOW_CONN_WAREHOUSE", url)
    return "{kind: engine, connection: warehouse, query: 'select * from pump_rows'}"


def store_of(config: ModelConfig) -> Store:
    return open_store((config.folder.parent / "store").as_uri())


def log_rows(
    config: ModelConfig,
    rows: pd.DataFrame,
    *,
    label_after: timedelta | None = timedelta(0),
    gateway: str = "g",
) -> None:
    """Write what a gateway logs for these rows; their labels (None: none) become known later."""
    times = [at.to_pydatetime() for at in rows["at"]]
    ids = [f"{gateway}-{number}" for number in range(len(rows))]
    columns = {
        "prediction_id": ids,
        "at": times,
        "received_at": times,
        "version": ["1"] * len(rows),
        "variant": ["champion"] * len(rows),
        "key": list(rows["station"]),
        "prediction": ["0"] * len(rows),
        **{f"x.{name}": list(rows[name]) for name in config.feature_names},
    }
    write_predictions(store_of(config), config, gateway, 1, columns)
    if label_after is not None:
        known = [at + label_after for at in times]
        labels = {"prediction_id": ids, "label": list(rows["high"]), "at": known, "received_at": known}
        write_labels(store_of(config), config, gateway, 1, labels)


def read(config: ModelConfig, start: datetime | None = None, end: datetime | None = None) -> pd.DataFrame:
    return ConfiguredSource(store_of(config)).read(config, start, end)


@pytest.mark.quick
def test_rows_are_sorted_in_utc_with_the_schemas_columns_only(config):
    found = read(config)
    assert list(found.columns) == ["at", "station", "temp", "season", "high"]
    assert list(found["at"]) == [START + i * HOUR for i in range(6)]
    assert str(found["at"].dt.tz) == "UTC"
    assert list(found.index) == list(range(6))
    assert list(found["temp"]) == [0.0, 1, 2, 3, 4, 5]


def test_categories_that_look_like_numbers_stay_text(config):
    found = read(config)
    assert list(found["season"]) == ["0", "1", "0", "1", "0", "1"]
    assert list(found["station"]) == ["00", "01", "02", "03", "04", "05"]


def test_a_window_includes_its_start_and_excludes_its_end(config):
    found = read(config, START + HOUR, START + 3 * HOUR)
    assert list(found["temp"]) == [1.0, 2.0]
    assert list(read(config, None, START + HOUR)["temp"]) == [0.0]
    assert list(read(config, START + 5 * HOUR)["temp"]) == [5.0]


def test_an_empty_window_has_columns_and_no_rows(config):
    found = read(config, START + 99 * HOUR, START + 100 * HOUR)
    assert len(found) == 0
    assert list(found.columns) == ["at", "station", "temp", "season", "high"]


def test_a_row_without_a_readable_time_stays_with_the_row_before_it(tmp_path):
    (tmp_path / "pump").mkdir()
    text = "at,temp\n2026-03-01T00:00,0\nsoon,1\n2026-03-01T01:00,2\n2026-03-01T02:00+02:00,3\n"
    (tmp_path / "pump" / "rows.csv").write_text(text)
    config = configure(tmp_path, "{kind: csv, uri: rows.csv}")
    windows = [read(config, START + i * HOUR, START + (i + 1) * HOUR) for i in range(2)]
    assert [list(window["temp"]) for window in windows] == [[0, 1, 3], [2]]
    assert windows[0]["at"].isna().tolist() == [False, True, False]


def test_mistyped_values_are_left_for_the_quality_gate(tmp_path):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "rows.csv").write_text("at,temp\n2026-03-01T00:00,hot\n2026-03-01T01:00,2\n")
    assert list(read(configure(tmp_path, "{kind: csv, uri: rows.csv}"))["temp"]) == ["hot", "2"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("uri", ["gone", "/no/where", "empty/"])
def test_a_missing_file_names_the_file_and_the_key(tmp_path, kind, uri):
    (tmp_path / "pump" / "empty").mkdir(parents=True)
    with pytest.raises(DataError, match=rf"model\.yaml, source\.uri: .*{uri.strip('/')}"):
        read(configure(tmp_path, f"{{kind: {kind}, uri: {uri}}}"))


def test_a_missing_object_names_the_key(tmp_path, s3_server):
    config = configure(tmp_path, f"{{kind: csv, uri: s3://{s3_server.bucket}/no/such.csv}}")
    with pytest.raises(DataError, match=r"source\.uri: s3://.*no/such\.csv does not exist"):
        read(config)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_that_is_no_table_is_named(tmp_path, kind):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "x").write_bytes(b'"\xff\xfe\x00' * 50)
    with pytest.raises(
        DataError, match=r"model\.yaml, source\.uri: .*x is not text .*expected CSV .*or Parquet"
    ):
        read(configure(tmp_path, f"{{kind: {kind}, uri: x}}"))


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "x.csv").touch()
    with pytest.raises(DataError, match=r"source\.uri: .*x\.csv is empty"):
        read(configure(tmp_path, "{kind: csv, uri: x.csv}"))


def test_a_missing_timestamp_column_shows_what_is_there(tmp_path):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "x.csv").write_text("temp,season\n1,a\n")
    with pytest.raises(
        DataError, match=r"source\.uri: .*no column 'at'.*schema; its columns are: temp, season"
    ):
        read(configure(tmp_path, "{kind: csv, uri: x.csv}"))


def test_numeric_times_are_refused(tmp_path):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "x.csv").write_text("at,temp\n1772323200,1\n")
    with pytest.raises(DataError, match="holds numbers"):
        read(configure(tmp_path, "{kind: csv, uri: x.csv}"))


def test_a_uri_may_name_an_environment_variable(tmp_path, monkeypatch):
    (tmp_path / "pump").mkdir()
    (tmp_path / "elsewhere.csv").write_text("at,temp\n2026-03-01,1\n")
    config = configure(tmp_path, "{kind: csv, uri: '${PUMP_DATA}/elsewhere.csv'}")
    with pytest.raises(ConfigError, match="PUMP_DATA is not set"):
        read(config)
    monkeypatch.setenv("PUMP_DATA", str(tmp_path))
    assert len(read(config)) == 1


def test_a_missing_database_file_is_not_created(tmp_path):
    config = configure(tmp_path, "{kind: sql, uri: 'sqlite:///gone.db', query: 'select 1'}")
    with pytest.raises(DataError, match=r"gone\.db does not exist"):
        read(config)
    assert not (tmp_path / "pump" / "gone.db").exists()


def test_an_invalid_query_is_named(tmp_path):
    config = configure(tmp_path, "{kind: sql, uri: 'sqlite:///x.db', query: 'select * from nowhere'}")
    (tmp_path / "pump" / "x.db").touch()
    with pytest.raises(DataError, match=r"source\.query: .*nowhere"):
        read(config)


def test_an_unreachable_database_is_unavailable_within_seconds(tmp_path, free_port):
    uri = f"postgresql+psycopg2://me:secret@127.0.0.1:{free_port()}/x"
    config = configure(tmp_path, f"{{kind: sql, uri: '{uri}', query: 'select 1'}}")
    started = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer") as caught:
        read(config)
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)


def test_postgresql_gets_the_window_as_timestamps(tmp_path, postgres_url):
    query = (
        "select at, 1.5::numeric as temp, ''a'' as season "
        "from generate_series(:start, :end - interval ''1h'', interval ''1h'') as at"
    )
    config = configure(tmp_path, f"{{kind: sql, uri: '{postgres_url}', query: '{query}'}}")
    found = read(config, START, START + 3 * HOUR)
    assert list(found["at"]) == [START + i * HOUR for i in range(3)]
    assert found["temp"].dtype == "float64"


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [("raise KeyError('no table')", DataError, "KeyError"), ("return [1]", PipelineError, "returned list")],
)
def test_a_failing_loader_is_named(tmp_path, body, error, words):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "pipeline.py").write_text(f"def load(start, end):\n    {body}\n")
    with pytest.raises(error, match=rf"source\.loader: pipeline\.py:load .*{words}"):
        read(configure(tmp_path, "{kind: loader, loader: pipeline.py:load}"))


def test_the_first_training_with_an_empty_log_reads_the_history_alone(tmp_path, rows):
    (tmp_path / "pump").mkdir()
    as_text(rows).to_csv(tmp_path / "pump" / "rows.csv", index=False)
    alone = read(configure(tmp_path, "{kind: csv, uri: rows.csv}"))
    found = read(configure(tmp_path, "{kind: predictions, history: {kind: csv, uri: rows.csv}}"))
    assert found.attrs.pop("origins") == {"history": 6, "log": 0, "both": 0}
    pd.testing.assert_frame_equal(found, alone)


def test_a_plain_log_without_rows_is_empty(tmp_path):
    found = read(configure(tmp_path, "{kind: predictions}"), None, START)
    assert list(found.columns) == ["at", "station", "temp", "season", "high"]
    assert len(found) == 0


def test_history_and_log_give_one_table_of_one_type(tmp_path, rows):
    (tmp_path / "pump").mkdir()
    rows["high"] = [1, 1, 0, 0, 0, 0]
    as_text(rows.iloc[:4]).to_csv(tmp_path / "pump" / "rows.csv", index=False)
    config = configure(tmp_path, "{kind: predictions, history: {kind: csv, uri: rows.csv}}")
    log_rows(config, rows.iloc[2:].assign(high=["0", "0", "0", "1"]))
    found = read(config)
    assert found.attrs["origins"] == {"history": 4, "log": 4, "both": 2}
    typed = coerce_rows(found, config, label=True)
    assert typed.quarantined.empty
    assert typed.rows["high"].tolist() == [1, 0, 0, 1, 1, 0]
    assert typed.rows["high"].dtype == "int64"
    assert typed.rows["temp"].dtype == "float64"
    assert typed.rows["season"].tolist() == ["0", "1", "0", "1", "0", "1"]


def test_a_logged_row_counts_as_soon_as_its_label_is_due(tmp_path, rows):
    config = configure(tmp_path, "{kind: predictions}", delay="2h")
    log_rows(config, rows.iloc[:5], label_after=2 * HOUR)
    log_rows(config, rows.iloc[5:], label_after=None, gateway="unlabelled")
    assert list(read(config, None, START + 3 * HOUR)["temp"]) == [0, 1, 2]
    assert list(read(config, START + 2 * HOUR, START + 9 * HOUR)["temp"]) == [2, 3, 5]
    log_rows(config, rows.iloc[5:], label_after=4 * HOUR, gateway="late")
    assert list(read(config, START + 4 * HOUR, START + 5 * HOUR)["temp"]) == [], "its label came later"
    assert list(read(config, START + 4 * HOUR, START + 6 * HOUR)["temp"]) == [4, 5]


@pytest.mark.parametrize(
    ("history", "key"),
    [
        ("{kind: csv, uri: gone.csv}", "uri"),
        ("{kind: sql, uri: 'sqlite:///gone.db', query: 'select 1'}", "uri"),
        ("{kind: loader, loader: pipeline.py:load}", "loader"),
    ],
)
def test_an_unreadable_history_is_named_by_its_key(tmp_path, history, key):
    (tmp_path / "pump").mkdir()
    (tmp_path / "pump" / "pipeline.py").write_text("def load(start, end):\n    raise KeyError\n")
    with pytest.raises(DataError, match=rf"model\.yaml, source\.history\.{key}: "):
        read(configure(tmp_path, f"{{kind: predictions, history: {history}}}"))


def test_an_unknown_scheme_is_refused_by_the_setting(tmp_path):
    with pytest.raises(ConfigError, match=r"source\.uri: 'ftp://host/x\.csv': expected a path, .*s3://"):
        read(configure(tmp_path, "{kind: csv, uri: 'ftp://host/x.csv'}"))


def write_rows(folder: Path, name: str, rows: pd.DataFrame, separator: str = ",") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if "csv" in name or "tsv" in name:
        as_text(rows).to_csv(path, index=False, sep=separator)
    else:
        rows.to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("uri", "files", "separator"),
    [
        ("rows.csv", ["rows.csv"], ";"),
        ("rows.tsv", ["rows.tsv"], "\t"),
        ("rows.csv.gz", ["rows.csv.gz"], "|"),
        ("rows.parq", ["rows.parq"], ","),
        ("rows", ["rows/a.csv", "rows/deeper/b.csv"], ";"),
        ("rows/", ["rows/a.pq", "rows/b.pq"], ","),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_content_decides_how_a_source_is_read(tmp_path, rows, kind, uri, files, separator):
    config = configure(tmp_path, f"{{kind: {kind}, uri: {uri}}}")
    for at, name in enumerate(files):
        write_rows(config.folder, name, rows.iloc[at::2] if len(files) > 1 else rows, separator)
    found = coerce_rows(read(config), config, label=True)
    assert found.quarantined.empty
    assert found.rows["temp"].tolist() == [0.0, 1, 2, 3, 4, 5]
    assert found.rows["station"].tolist() == ["00", "01", "02", "03", "04", "05"]
    assert found.rows["high"].tolist() == [1, 0, 0, 1, 0, 0]
    assert len(read(config, START + HOUR, START + 3 * HOUR)) == 2


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_kind_chooses_where_a_folder_holds_both(tmp_path, rows, kind):
    config = configure(tmp_path, f"{{kind: {kind}, uri: rows}}")
    write_rows(config.folder, "rows/a.csv", rows[:2])
    write_rows(config.folder, "rows/b.parquet", rows[2:])
    assert len(read(config)) == {"csv": 2, "parquet": 4}[kind]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_schema_that_evolves(tmp_path, rows, form):
    config = configure(tmp_path, f"{{kind: {form}, uri: rows}}")
    first = rows.iloc[[1, 3, 2]].drop(columns="season").astype({"temp": "int64"})  # hours 0 to 2
    later = rows.iloc[[0, 5, 4]].assign(temp=[3.5, 4.5, 5.5])
    write_rows(config.folder, f"rows/a.{form}", first)
    write_rows(config.folder, f"rows/b.{form}", later)
    found = read(config)
    assert found["temp"].tolist() == [0, 1, 2, 3.5, 4.5, 5.5]
    assert found["temp"].dtype == "float64"
    assert found["season"].isna().tolist() == [True, True, True, False, False, False]
    typed = coerce_rows(found, config, label=True)
    assert typed.quarantined.empty
    assert typed.rows["season"].dropna().tolist() == ["1", "0", "1"]


def test_types_without_a_common_one_keep_their_values(tmp_path, rows):
    config = configure(tmp_path, "{kind: parquet, uri: rows}")
    write_rows(config.folder, "rows/a.parquet", rows.assign(season=2**53 + 1, station=7)[:3])
    write_rows(config.folder, "rows/b.parquet", rows.assign(season=0.5)[3:])
    typed = coerce_rows(read(config), config, label=True)
    assert sorted(typed.rows["season"].unique()) == ["0.5", str(2**53 + 1)]
    assert sorted(typed.rows["station"].unique()) == ["01", "04", "05", "7"]


def test_a_partition_is_a_feature(tmp_path, rows):
    config = configure(tmp_path, "{kind: parquet, uri: rows}")
    for season in "01":
        part = rows[rows["season"] == season].drop(columns="season")
        write_rows(config.folder, f"rows/season={season}/a.parquet", part)
    assert read(config)["season"].tolist() == ["0", "1", "0", "1", "0", "1"]


def test_row_groups_outside_the_window_are_not_read(tmp_path, rows):
    from homeostat.adapters.table_rows import read_frame
    from homeostat.adapters.tables import open_table
    from homeostat.adapters.tables_parquet import TimeRange

    path = tmp_path / "t.parquet"
    rows.sort_values("at").to_parquet(path, row_group_size=2)
    table = open_table(str(path))
    for start, end, found in [(2, 3, [2, 3]), (None, 2, [0, 1]), (3, None, [2, 3, 4, 5]), (9, None, [])]:
        between = TimeRange("at", *(None if at is None else START + at * HOUR for at in (start, end)))
        assert read_frame(table, ["temp"], between)["temp"].tolist() == found


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_time_far_away_is_told_and_left_out_of_an_open_window(tmp_path, form):
    hours = pd.Series([START + n * HOUR for n in range(200)])
    many = pd.DataFrame({"at": hours, "station": "1", "temp": 1.0, "season": "a", "high": 1})
    far = many[:2].assign(at=[datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)])
    config = configure(tmp_path, f"{{kind: {form}, uri: rows.{form}}}")
    write_rows(config.folder, f"rows.{form}", pd.concat([many, far.astype({"at": hours.dtype})]))
    found = read(config)
    assert len(found) == 200
    assert "1970-01-01 (row 201), 9999-12-31 (row 202)" in found.attrs["far_times"]
    asked = read(config, datetime(1960, 1, 1, tzinfo=UTC), START)  # whoever asks for 1970 gets it
    assert asked["at"].dt.year.tolist() == [1970]
    assert len(read(config, START, START + 5 * HOUR)) == 5
