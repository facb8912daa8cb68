"""The model state that Airflow publishes for the Lambda function is read back without loss."""

from dataclasses import replace
from datetime import timedelta
from math import inf
from pathlib import Path

import pytest
import yaml

from homeostat.adapters import fake_ports
from homeostat.config import ModelConfig, load_model
from homeostat.storage.model_state import load_published_state, publish_state
from sample_model import MODEL, T0

MODELS = sorted((Path(__file__).resolve().parents[2] / "include" / "models").glob("*/model.yaml"))


def published(config):
    ports = fake_ports(start=T0)
    publish_state(config, ports)
    return load_published_state(ports.store, config.name)


def dumped(config):
    """Return everything but the local folder."""
    return config.model_dump()


def model(**more):
    return ModelConfig.model_validate(yaml.safe_load(MODEL) | more)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.parent.name)
def test_each_model_of_the_project_is_read_back_equal(path):
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
        {"training": {"window": {"kind": "recency", "half_life": "1.5d"}, "parity": "enforce"}},
        {"training": {"bad_periods": [{"start": "2026-01-01T00:00Z", "end": "2026-01-02T00:00+02:00"}]}},
        {"training": {"expectations": [{"type": "expect_x", "column": "a", "max_value": 1e300}]}},
        {"canary": {"steps": [0.1, 0.2, 1]}, "approval": "required", "notify": ["a", "b"]},
        {"source": {"kind": "sql", "uri": "sqlite:////x.db", "query": "select 'ä'"}},
    ],
)
def test_every_kind_of_setting_is_read_back_equal(more):
    config = model(**more)
    assert published(config).config == config


def test_a_password_of_the_source_is_not_published():
    uri = "postgresql+psycopg2://reader:s3cret@db/rows"
    config = model(source={"kind": "sql", "uri": uri, "query": "select 1"})
    ports = fake_ports(start=T0)
    publish_state(config, ports)
    assert b"s3cret" not in ports.store.get("published/sample.json")
    found = load_published_state(ports.store, "sample").config
    assert found.source.uri == "postgresql+psycopg2://***@db/rows"
    left = {"source": config.source}
    assert dumped(found.model_copy(update=left)) == dumped(config)


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
def test_no_secret_of_the_source_is_published(source):
    ports = fake_ports(start=T0)
    publish_state(model(source=source), ports)
    assert b"s3cret" not in ports.store.get("published/sample.json")
    assert load_published_state(ports.store, "sample").config.source.kind == source["kind"]


def test_publishing_again_replaces_the_state_and_its_time(deployment):
    deployment.publish_state()
    first = load_published_state(deployment.resources.store, "sample")
    deployment.airflow.clock.advance(timedelta(hours=1))
    deployment.publish_state()
    second = load_published_state(deployment.resources.store, "sample")
    assert second == replace(first, at=first.at + timedelta(hours=1))
    assert deployment.resources.store.list("published") == ["published/sample.json"]


def test_current_and_former_champions_are_published(deployment):
    deployment.publish_state()
    found = load_published_state(deployment.resources.store, "sample")
    assert [event.traffic["champion"]["version"] for event in found.events] == ["1", "2"]
    assert found.traffic == deployment.airflow.ledger.read("sample")
