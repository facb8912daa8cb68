"""Every engine counts as the local path does, cell by cell: DuckDB, PostgreSQL, Spark and others."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from homeostat.adapters.engines import postgres_counts, postgres_parts
from homeostat.adapters.engines.connect import open_engine
from homeostat.adapters.engines.location import parse_location
from homeostat.adapters.engines.table import EngineTable
from homeostat.config.errors import DataError
from homeostat.core.profile import Profile, ProfileEdges, count_arrow_table, fit_edges
from homeostat.core.profile.grouped import (
    ColumnGroup,
    Grouping,
    SeasonGroup,
    SliceGroup,
    count_groups,
    slice_profiles,
)
from homeostat.core.profile.slices import Slices, Slicing, count_slices

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("ibis")

HUGE, TINY = 1.7976931348623157e308, 5e-324
MICROS = dt.timedelta(microseconds=1)
TEXTS = ["a", "b", "1", "1.0", "1.00", "true", "True", "", "007", "-0", "3e+05", "NA", "é", "é", "\U0001f6e0"]
TEXTS += ["x" * 60, "x" * 61, "1\n", "a\\b", "it's", '"', "%s", " a", "a ", "A"]
EDGE_FLOATS = [0.0, -0.0, TINY, -TINY, HUGE, -HUGE, math.inf, -math.inf, math.nan, 1.0, 0.1, 2.5]
EDGE_FLOATS += [float(np.nextafter(1, 2)), float(np.nextafter(1, 0)), 2.0**53, 2.0**53 + 2]
TIMES = st.integers(10**11, 315 * 10**15).map(
    lambda micros: dt.datetime.fromisoformat("0001-01-01") + micros * MICROS
)
TIMES |= st.sampled_from(["1970-01-01", "1969-12-31T23:59:59.999999", "2024-02-29T12"]).map(
    dt.datetime.fromisoformat
)


def float32(value: float) -> float:
    return float(np.float32(value))


COLUMNS: dict[str, tuple[pa.DataType, st.SearchStrategy]] = {
    "f64": (pa.float64(), st.sampled_from(EDGE_FLOATS) | st.floats()),
    "f32": (pa.float32(), st.sampled_from([0.1, 0.3, 16777217.0, -0.0]).map(float32) | st.floats(width=32)),
    "i16": (pa.int16(), st.integers(-3, 3) | st.integers(-(2**15), 2**15 - 1)),
    "i64": (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53, 2**53 + 1, 2**53 + 2, 7])),
    "flag": (pa.bool_(), st.booleans()),
    "price": (pa.decimal128(12, 2), st.decimals(-(10**9), 10**9, places=2)),
    "long": (
        pa.decimal128(38, 20),
        st.decimals(-(10**17), 10**17, places=20) | st.just(Decimal("0.1").quantize(Decimal(10) ** -20)),
    ),
    "text": (
        pa.string(),
        st.sampled_from(TEXTS) | st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    ),
    "digits": (
        pa.string(),
        st.integers(0, 20).map(str) | st.sampled_from(["1.5", "nan", "inf", "word", "1e5"]),
    ),
    "day": (pa.date32(), TIMES.map(dt.datetime.date)),
    "at": (pa.timestamp("us"), TIMES),
    "instant": (pa.timestamp("us", "UTC"), TIMES.map(lambda at: at.replace(tzinfo=dt.UTC))),
}
NUMBERS = [name for name in COLUMNS if name != "text"]
CATEGORIES = [name for name in COLUMNS if name not in ("instant", "f64", "f32")]
ROW = st.fixed_dictionaries({name: st.none() | values for name, (_, values) in COLUMNS.items()})
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])


def as_table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def edges_of(reference: pa.Table, *, max_edges: int = 4, max_categories: int = 3) -> ProfileEdges:
    """Edges of every column as a number and, under another name, as a category."""
    frame = reference.to_pandas()
    fitted = fit_edges(
        frame,
        dict.fromkeys(NUMBERS, "number"),
        max_edges=max_edges,
    )
    labels = fit_edges(frame, dict.fromkeys(CATEGORIES, "category"), max_categories=max_categories)
    return ProfileEdges({**fitted.features, **{f"as_{name}": labels.features[name] for name in CATEGORIES}})


def with_copies(table: pa.Table) -> pa.Table:
    """Each column twice: an edge counts a column by its name."""
    for name in CATEGORIES:
        table = table.append_column(f"as_{name}", table.column(name))
    return table


Opener = Callable[[pa.Table], EngineTable]


def open_url(url: str) -> EngineTable:
    return open_engine(parse_location(url))


@pytest.fixture(scope="module")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    path = tmp_path_factory.mktemp("duckdb") / "rows.parquet"

    def opened(table: pa.Table) -> EngineTable:
        pq.write_table(table, path)
        return open_url(f"duckdb://?query=FROM '{path}'")

    return opened


@pytest.fixture(scope="module")
def duckdb_files(tmp_path_factory: pytest.TempPathFactory) -> Opener:
    """Files without a query, which Arrow reads where it can."""
    path = tmp_path_factory.mktemp("duckdb") / "rows.parquet"

    def opened(table: pa.Table) -> EngineTable:
        pq.write_table(table, path)
        return open_url(f"duckdb://{path}")

    return opened


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> Iterator[Opener]:
    url = postgres_url.replace("+psycopg2", "")
    types = {
        pa.float64(): "float8",
        pa.float32(): "float4",
        pa.int16(): "int2",
        pa.int64(): "int8",
        pa.bool_(): "bool",
        pa.string(): "text",
        pa.date32(): "date",
        pa.timestamp("us"): "timestamp",
        pa.timestamp("us", "UTC"): "timestamptz",
        pa.decimal128(12, 2): "numeric(12, 2)",
        pa.decimal128(38, 20): "numeric",
    }
    with psycopg.connect(url, autocommit=True) as connection:

        def opened(table: pa.Table) -> EngineTable:
            columns = ", ".join(f'"{field.name}" {types[field.type]}' for field in table.schema)
            connection.execute("DROP TABLE IF EXISTS contract")
            connection.execute(f"CREATE TABLE contract ({columns})")
            with connection.cursor().copy("COPY contract FROM STDIN") as copy:
                for row in table.to_pylist():
                    copy.write_row(list(row.values()))
            return open_url(f"{url}?table=contract")

        yield opened


@pytest.fixture
def postgres_parts_of_any_size(postgres: Opener, monkeypatch: pytest.MonkeyPatch) -> Opener:
    """PostgreSQL counts small tables, too, in several processes."""
    monkeypatch.setattr(postgres_parts, "MIN_BYTES", 0)
    return postgres


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opener]:
    if shutil.which("java") is None:
        pytest.skip("Java is not installed, so Spark is not tested: apt-get install openjdk-17-jre-headless")
    sql = pytest.importorskip("pyspark.sql")
    path, number = tmp_path_factory.mktemp("spark"), itertools.count()
    settings = "spark.ui.enabled=false&spark.sql.shuffle.partitions=2"

    def opened(table: pa.Table) -> EngineTable:
        file = path / f"{next(number)}.parquet"  # Spark remembers the files that it has listed
        pq.write_table(table, file)
        return open_url(f"spark://local[2]?files={file}&{settings}")

    yield opened
    sql.SparkSession.getActiveSession().stop()


FAST = ["duckdb", "duckdb_files", "postgres", "postgres_parts_of_any_size"]


@pytest.fixture(params=[*FAST, pytest.param("spark", marks=pytest.mark.slow)])
def engine(request: pytest.FixtureRequest) -> Opener:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=FAST)
def fast_engine(request: pytest.FixtureRequest) -> Opener:
    return request.getfixturevalue(request.param)


RELAXED = settings(
    phases=[Phase.explicit, Phase.generate],
    max_examples=12,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def same_cells(edges: ProfileEdges, rows: pa.Table, engine: Opener) -> None:
    with engine(rows) as table:
        found = table.profile(edges)
    expected = count_arrow_table(edges, rows)
    for name in edges.features:
        assert found.features[name].to_body() == expected.features[name].to_body(), name
    assert found.rows == rows.num_rows


REFERENCE, ROWS = st.lists(ROW, min_size=1, max_size=12), st.lists(ROW, max_size=25)
#: The ends of whole numbers are labels, too.
ENDS = [{"i64": -(2**63), "i16": -(2**15)}, {"i64": 2**63 - 1, "i16": 2**15 - 1}, {"i64": 0, "i16": None}]


@given(reference=REFERENCE, rows=ROWS)
@example(reference=ENDS, rows=[*ENDS, {"i64": 1, "i16": 1}])
@RELAXED
def test_any_table_is_counted_as_the_local_path_does(fast_engine, reference, rows):
    edges = edges_of(with_copies(as_table(reference)))
    same_cells(edges, with_copies(as_table([*reference, *rows])), fast_engine)


@given(reference=REFERENCE, rows=ROWS)
@settings(RELAXED, max_examples=3)
@pytest.mark.slow
def test_spark_counts_any_table_as_the_local_path_does(spark, reference, rows):
    edges = edges_of(with_copies(as_table(reference)))
    same_cells(edges, with_copies(as_table([*reference, *rows])), spark)


@given(rows=ROWS)
@example(rows=ENDS)
@RELAXED
def test_groups_and_seasons_are_those_of_the_local_path(fast_engine, rows):
    same_groups(fast_engine, rows)


@given(rows=ROWS)
@settings(RELAXED, max_examples=2)
@pytest.mark.slow
def test_groups_and_seasons_of_spark_are_those_of_the_local_path(spark, rows):
    same_groups(spark, rows)


def same_groups(engine: Opener, rows: list[dict]) -> None:
    table = with_copies(as_table(rows))
    edges = edges_of(table)
    by: list[Grouping] = [ColumnGroup("digits"), ColumnGroup("flag"), SeasonGroup("at", "hour_of_week", 4)]
    hours = [SeasonGroup("instant", "hour_of_day")]
    with engine(table) as opened:
        found = opened.profile_groups(edges, by)
        instants = opened.profile_groups(edges, hours)
    assert found == count_groups(edges, table, by)
    assert instants == count_groups(edges, table, hours)
    assert sum(each.rows for each in found.values()) == len(rows)


@given(rows=ROWS)
@example(
    rows=[*ENDS, {"f64": -0.0, "price": Decimal("0.00"), "flag": True}, {"f64": math.nan, "text": "1.0"}]
)
@RELAXED
def test_slices_within_a_season_are_those_of_the_local_path(fast_engine, rows):
    same_slices_within_a_season(fast_engine, rows)


@given(rows=ROWS)
@settings(RELAXED, max_examples=2)
@pytest.mark.slow
def test_slices_of_spark_within_a_season_are_those_of_the_local_path(spark, rows):
    same_slices_within_a_season(spark, rows)


#: Cuts and labels of every kind of column that may divide rows.
ANY_SLICES = (
    Slicing("f64", "number", cuts=(-1.0, 0.0, 2.5)),
    Slicing("f32", "number", cuts=(0.1, 0.3, 16777216.0)),
    Slicing("i64", "number", cuts=(0.0, 7.0, 2.0**53)),
    Slicing("price", "number", cuts=(-0.5, 0.0, 12.34)),
    Slicing("text", "category", ("a", "1", "true", "\U0001f6e0")),
    Slicing("i16", "category", ("1", "-3")),
    Slicing("flag", "category", ("true",)),
)


def same_slices_within_a_season(engine: Opener, rows: list[dict]) -> None:
    """A check of a model with a season and slices asks for both in one query."""
    table = with_copies(as_table(rows))
    edges = edges_of(table)
    with engine(table) as opened:
        for slicings in (ANY_SLICES[:2], ANY_SLICES[2:4], ANY_SLICES[4:]):
            by: list[Grouping] = [SeasonGroup("at", "hour_of_week", 8), *map(SliceGroup, slicings)]
            assert opened.profile_groups(edges, by) == count_groups(edges, table, by)


SLICES = Slices(
    (
        Slicing("label", "category", ("red", "1")),
        Slicing("count", "number", cuts=(2.0, 3.0, 5.0)),
        Slicing("normal", "number", cuts=(-0.5, 0.0, 0.5)),
    )
)


def test_slices_are_those_of_the_local_path_and_add_up(engine):
    reference, current = typical(2_000, 1), typical(3_000, 2)
    frame = current.to_pandas()
    edges = fit_edges(reference.to_pandas(), KINDS)
    with engine(current) as table:
        groups = table.profile_groups(edges, [SliceGroup(each) for each in SLICES.slicings])
    found = slice_profiles(edges, groups, SLICES)
    assert found == count_slices(edges, frame, SLICES)
    for slicing in SLICES.slicings:
        parts = (found[name] for name in slicing.names)
        assert sum(parts, Profile.empty(edges)) == count_arrow_table(edges, current)


def test_slices_of_every_hour_are_those_of_the_local_path(engine):
    """The seasonal and sliced form: one query by hour and slice, whose groups are those of the local path."""
    reference, current = typical(2_000, 1), typical(1_500, 2)
    edges = fit_edges(reference.to_pandas(), KINDS)
    by: list[Grouping] = [SeasonGroup("at", "hour_of_day", 6)]
    by += [SliceGroup(each) for each in SLICES.slicings]
    with engine(current) as table:
        found = table.profile_groups(edges, by)
    assert found == count_groups(edges, current, by)
    assert len({key[0] for key in found}) >= 4


def typical(rows: int, seed: int) -> pa.Table:
    """Real shapes: ties, holes, many labels, a season."""
    rng = np.random.default_rng(seed)
    at = np.datetime64("2026-01-01", "us") + rng.integers(0, 10**13, rows).astype("m8[us]")
    missing = rng.random(rows) < 0.1
    return pa.table(
        {
            "normal": pa.array(rng.normal(size=rows), mask=missing),
            "small": pa.array(rng.normal(size=rows).astype(np.float32)),
            "ties": np.round(rng.normal(size=rows), 1),
            "count": rng.poisson(3, rows),
            "id": rng.integers(0, 10**6, rows).astype(str),
            "label": rng.choice(["red", "green", "blue", "élan"], rows),
            "at": at,
        }
    )


KINDS = {"normal": "number", "small": "number", "ties": "number", "count": "number", "at": "number"}
KINDS |= {"id": "category", "label": "category"}


@pytest.mark.quick
def test_many_rows_and_default_edges(engine):
    reference, current = typical(5_000, 1), typical(20_000, 2)
    current = current.set_column(5, "label", pa.array(["new", *current.column("label").to_pylist()[1:]]))
    edges = fit_edges(reference.to_pandas(), KINDS)
    assert edges.features["id"].open
    same_cells(edges, current, engine)
    with engine(current) as table:
        assert table.profile(edges).features["label"].unseen == 1


def test_a_column_that_the_table_lacks_is_missing_in_every_row(engine):
    table = typical(100, 3)
    edges = fit_edges(table.to_pandas(), KINDS)
    same_cells(edges, table.drop_columns(["normal", "label"]), engine)


def test_a_table_without_rows_has_an_empty_profile(engine):
    table = typical(100, 3)
    same_cells(fit_edges(table.to_pandas(), KINDS), table.slice(0, 0), engine)


def test_an_instant_as_a_category_is_refused_with_column_and_reason(engine):
    table = as_table([{"instant": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}])
    edges = fit_edges(table.to_pandas(), {"instant": "category"})
    with engine(table) as opened, pytest.raises(DataError, match=r"column .instant. .* time zone; cast it"):
        opened.profile(edges)


def test_only_the_rows_of_the_window_are_counted(engine):
    table = typical(500, 4)
    edges = fit_edges(table.to_pandas(), KINDS)
    start, end = dt.datetime(2026, 1, 20, tzinfo=dt.UTC), dt.datetime(2026, 2, 10, 6, tzinfo=dt.UTC)
    at = table.column("at").to_pandas().dt.tz_localize("UTC")
    inside = table.filter(pa.array((at >= start) & (at < end)))
    with engine(table) as opened:
        window = opened.between("at", start, end)
        assert window.count_rows() == inside.num_rows
        assert window.profile(edges) == count_arrow_table(edges, inside)


def test_processes_of_postgres_count_disjoint_parts_of_a_table_and_a_query_as_one(postgres_parts_of_any_size):
    with postgres_parts_of_any_size(typical(1_000, 5)) as table:
        parts = [table.with_relation(each).count_rows() for each in postgres_parts.disjoint_parts(table)]
        query = table.with_relation(table.backend.sql("SELECT * FROM contract"))
        assert postgres_parts.disjoint_parts(query) == [query.relation]
    assert len(parts) == 3
    assert sum(parts) == 1_000
    assert min(parts) > 200


def test_the_parts_of_postgres_are_counted_by_several_processes(postgres_parts_of_any_size):
    rows = typical(1_000, 6)
    with postgres_parts_of_any_size(rows) as table:
        settings, query = postgres_counts.count_sql(table, fit_edges(rows.to_pandas(), KINDS), [])
        with table.backend.con.transaction():
            table.backend.con.execute(settings)
            plan = "\n".join(row[0] for row in table.backend.con.execute(f"EXPLAIN {query}"))
    assert "Parallel Append" in plan
    assert plan.count("Sort") == 0
