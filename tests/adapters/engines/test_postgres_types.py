"""Types that only PostgreSQL has are counted by their values, or refused by name."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest

from homeostat.adapters.engines import grouped_rows
from homeostat.adapters.engines.connect import open_engine
from homeostat.adapters.engines.location import parse_location
from homeostat.config.errors import DataError
from homeostat.core.profile import CategoryEdges, NumberEdges, ProfileEdges, count_series

psycopg = pytest.importorskip("psycopg")
pytest.importorskip("ibis")
pytestmark = pytest.mark.slow

NUMERICS = [
    "NaN",
    "1e400",
    "-1e400",
    "1e-400",
    "-3e-324",
    "0.1",
    "0.10000000000000000001",
    "Infinity",
    "-0",
    None,
]


@pytest.fixture(scope="module")
def url(postgres_url: str) -> str:
    url = postgres_url.replace("+psycopg2", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TYPE mood AS ENUM ('glad', 'sad')")
        connection.execute("CREATE EXTENSION IF NOT EXISTS citext")
        connection.execute(
            "CREATE TABLE types "
            "(n numeric, m mood, c citext, p char(4), k int8, at timestamp, j jsonb, u uuid)"
        )
        for number in NUMERICS:
            connection.execute("INSERT INTO types (n) VALUES (%s)", [number])
        connection.execute(
            "INSERT INTO types (m, c, p, k) VALUES ('glad', 'A', 'x', 1), ('sad', 'a', 'x', 77)"
        )
        connection.execute(
            "INSERT INTO types (at, k) VALUES ('infinity', 78), ('-infinity', 1), ('epoch', 9)"
        )
        connection.execute("INSERT INTO types (u, j) VALUES ('00000000-0000-0000-0000-000000000001', '{}')")
    return url


def counted(url: str, name: str, edges) -> list[int]:
    with open_engine(parse_location(f"{url}?table=types")) as table:
        return table.profile(ProfileEdges({name: edges})).features[name].to_body()


def test_numerics_beyond_floats_lie_where_the_local_path_reads_them(url):
    edges = NumberEdges((-1.7976931348623157e308, 0.0, 0.1, 1.7976931348623157e308), complete=False)
    numbers = pd.Series([number and Decimal(number) for number in NUMERICS], dtype=object)
    with open_engine(parse_location(url, query="SELECT n FROM types LIMIT 10")) as table:
        found = table.profile(ProfileEdges({"n": edges})).features["n"]
    assert found.to_body() == count_series(edges, numbers).to_body()
    assert (found.missing, found.slots[0], found.slots[-1]) == (2, 1, 2)


def test_texts_that_a_type_takes_for_equal_are_two_labels(url):
    assert counted(url, "c", CategoryEdges(("A",)))[1:] == [1, 1, 0]
    assert counted(url, "m", CategoryEdges(("glad",), open=True))[1:] == [0, 1, 1]
    assert counted(url, "p", CategoryEdges(("x   ",)))[1:] == [0, 2, 0]
    assert counted(url, "u", CategoryEdges(("00000000-0000-0000-0000-000000000001",)))[1:] == [0, 1, 0]


def test_whole_numbers_without_a_slot_are_the_rest_or_unseen(url):
    assert counted(url, "k", CategoryEdges(("1",), open=True))[1:] == [0, 2, 3]
    assert counted(url, "k", CategoryEdges(("1", "0")))[1:] == [3, 2, 0, 0]


def test_endless_times_lie_outside_all_cut_points(url):
    assert counted(url, "at", NumberEdges((0.0,), complete=True))[1:] == [0, 1, 1, 1]


def test_a_type_without_values_is_refused_by_name(url):
    with pytest.raises(
        DataError, match=r"column 'j' of type jsonb? is neither a number, a time nor text; cast"
    ):
        counted(url, "j", NumberEdges((0.0,), complete=True))


def test_too_many_values_of_a_category_are_refused_by_name(url, monkeypatch):
    monkeypatch.setattr(grouped_rows, "MAX_VALUES", 1)
    with pytest.raises(DataError, match="column 'c' has more than 1 values"):
        counted(url, "c", CategoryEdges(("A",), rest=(1,)))
