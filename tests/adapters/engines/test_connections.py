"""Where the address of an engine comes from: a URL, or an Airflow connection."""

from __future__ import annotations

import json

import pytest

from homeostat.adapters.engines.airflow_connection import connection_url
from homeostat.adapters.engines.location import is_engine_url, parse_location
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError


@pytest.mark.parametrize(
    "address", ["rows.csv", "s3://bucket/rows", "file:///rows.csv", "ftp://host/rows", "C:\\rows"]
)
def test_addresses_of_files_stay_with_the_local_reader(address):
    assert not is_engine_url(address)


@pytest.mark.parametrize(
    ("url", "engine", "address", "read"),
    [
        ("postgresql+psycopg2://u:p@h:1/d?table=a.b", "postgres", "u:p@h:1/d", ("a.b", "", "")),
        ("postgres://h/d?query=SELECT%201&sslmode=require", "postgres", "h/d", ("", "SELECT 1", "")),
        ("duckdb://s3://bucket/rows", "duckdb", "", ("", "", "s3://bucket/rows")),
        ("duckdb:///data/a.duckdb?table=t", "duckdb", "/data/a.duckdb", ("t", "", "")),
        ("duckdb://md:shop?table=t", "duckdb", "md:shop", ("t", "", "")),
        ("pyspark://local[2]?files=/rows", "spark", "local[2]", ("", "", "/rows")),
    ],
)
def test_an_address_says_engine_and_what_to_read(url, engine, address, read):
    found = parse_location(url)
    assert (found.engine, found.address) == (engine, address)
    assert (found.table, found.query, found.files) == read


def test_secrets_are_not_shown():
    assert "hidden" not in parse_location("trino://me:hidden@h/c?table=t").shown
    assert "hidden" not in parse_location("databricks://h?access_token=hidden&table=t").shown


def test_a_connection_is_a_url_or_json(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MART", "postgres://u:p@h:5432/shop")
    assert connection_url("mart") == "postgres://u:p@h:5432/shop"
    raw = {
        "conn_type": "postgres",
        "host": "h",
        "login": "u",
        "password": "p/@",
        "port": 5432,
        "schema": "shop",
    }
    monkeypatch.setenv("AIRFLOW_CONN_MART", json.dumps(raw))
    assert connection_url("mart") == "postgres://u:p%2F%40@h:5432/shop"
    monkeypatch.setenv("AIRFLOW_CONN_MART", "{}")
    with pytest.raises(ConfigError, match="AIRFLOW_CONN_MART is no connection"):
        connection_url("mart")


def source(**fields) -> ModelConfig:
    label, features = {"name": "y"}, {"x": {"type": "number"}}
    body = {"name": "m", "task": "regression", "pipeline": "pipeline.py:build", "source": fields}
    return ModelConfig.model_validate({**body, "schema": {"label": label, "features": features}})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "engine"}, "needs 'uri' or 'connection', one of them"),
        ({"kind": "engine", "uri": "duckdb://a", "connection": "b"}, "one of them"),
        (
            {"kind": "engine", "uri": "postgresql://h/d", "table": "a", "query": "b"},
            "'table' or 'query', not both",
        ),
        ({"kind": "csv", "uri": "a.csv", "table": "b"}, "only kind: engine has a 'table'"),
    ],
)
def test_a_source_that_names_too_little_or_too_much_is_an_error(fields, words):
    with pytest.raises(ValueError, match=words):
        source(**fields)


def test_a_source_is_described_without_secrets():
    found = source(kind="engine", uri="postgresql://me:hidden@h/d", table="t").source
    assert found.description == "engine postgresql://***@h/d"
    assert source(kind="engine", connection="mart", table="t").source.description == "engine mart"
