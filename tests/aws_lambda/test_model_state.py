"""What Airflow publishes is all that a check elsewhere has to go by: nothing of it may be lost on the way."""

from dataclasses import replace
from datetime import timedelta
from math import inf
from pathlib import Path

import pytest
import yaml

from homeostat.adapters import fake_ports
from homeostat.config import ModelConfig, load_model
from homeostat.storage.model_state import load_published, publish
from sample_model import MODEL, T0

MODELS = sorted((Path(__file__).resolve().parents[2] / "include" / "models").glob("*/model.yaml"))


def published(config):
    ports = fake_ports(start=T0)
    publish(config, ports)
    return load_published(ports.store, config.name)


def plain(config):
    """Everything but the folder on this machine."""
    return config.model_dump()


def model(**more):
    return ModelConfig.model_validate(yaml.safe_load(MODEL) | more)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_each_model_of_the_project_reads_back_equal(path):
    config = load_model(path)
    found = published(config).config
    found._folder = config.folder
    assert found == config


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"monitor": {"every": "90s", "window": "180s", "season": "hour_of_week", "runs_on": "lambda"}},
        {
            "schema": {
                "label": {"name": "y"},
                "features": {"a": {"type": "number", "range": [0, inf]}},
            }
        },
        {"training": {"window": {"kind": "recency", "half_life": "1.5d"}, "parity": "required"}},
        {"training": {"bad_periods": [{"start": "2026-01-01T00:00Z", "end": "2026-01-02T00:00+02:00"}]}},
        {"training": {"expectations": [{"type": "expect_x", "column": "a", "max_value": 1e300}]}},
        {"canary": {"steps": [0.1, 0.2, 1]}, "approval": "required", "notify": ["a", "b"]},
        {"source": {"kind": "sql", "uri": "sqlite:////x.db", "query": "select 'ä'"}},
    ],
)
def test_whatever_model_yaml_may_say_reads_back_equal(more):
    config = model(**more)
    assert published(config).config == config


def test_a_password_of_the_source_is_not_published():
    uri = "postgresql+psycopg2://reader:s3cret@db/rows"
    config = model(source={"kind": "sql", "uri": uri, "query": "select 1"})
    ports = fake_ports(start=T0)
    publish(config, ports)
    assert b"s3cret" not in ports.store.get("published/toy.json")
    found = load_published(ports.store, "toy").config
    assert found.source.uri == "postgresql+psycopg2://***@db/rows"
    left = {"source": config.source}
    assert plain(found.model_copy(update=left)) == plain(config)


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "sql", "uri": "postgresql://db/rows?user=me&password=s3cret&x=1", "query": "select 1"},
        {"kind": "parquet", "uri": "https://account/rows.parquet?sv=1&sig=s3cret%3D"},
        {"kind": "sql", "uri": "duckdb://", "query": "attach 'host=db Password=s3cret'; select 1"},
        {"kind": "sql", "uri": "duckdb://", "query": "create secret (aws_secret_access_key = 's3cret')"},
        {"kind": "sql", "uri": "duckdb://", "query": "attach 'postgres://me:s3cret@db/rows'"},
        {"kind": "sql", "uri": "snowflake://a/b?private_key_passphrase=s3cret", "query": "select 1"},
    ],
)
def test_no_secret_of_the_source_is_published_wherever_it_is_written(source):
    ports = fake_ports(start=T0)
    publish(model(source=source), ports)
    assert b"s3cret" not in ports.store.get("published/toy.json")
    assert load_published(ports.store, "toy").config.source.kind == source["kind"]


def test_publishing_again_replaces_and_says_when(both):
    both.publish()
    first = load_published(both.here.store, "toy")
    both.airflow.clock.advance(timedelta(hours=1))
    both.publish()
    second = load_published(both.here.store, "toy")
    assert second == replace(first, at=first.at + timedelta(hours=1))
    assert both.here.store.list("published") == ["published/toy.json"]


def test_the_champions_of_today_and_before_are_published(both):
    both.publish()
    found = load_published(both.here.store, "toy")
    assert [event.traffic["champion"]["version"] for event in found.events] == ["1", "2"]
    assert found.traffic == both.airflow.ledger.read("toy")
