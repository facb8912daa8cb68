"""Settings from the environment, and the file that a staging machine lays over its models."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.config import Settings, load_model
from homeostat.config.errors import ConfigError
from homeostat.config.load import load_overrides, merge

GOOD = """\
name: sample
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema: {label: {name: y}, features: {x: {type: number}}}
shadow: {duration: 24h, max_divergence: 0.2}
"""


@pytest.fixture
def models(tmp_path) -> Path:
    folder = tmp_path / "models" / "sample"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(GOOD)
    return folder.parent


def test_overrides_are_merged_key_by_key_and_those_of_the_model_win(models):
    over = {
        "*": {"shadow": {"duration": "10s"}, "canary": {"steps": [0.5]}},
        "sample": {"shadow": {"duration": "5s"}},
    }
    config = load_model(models / "sample", over)
    assert config.shadow.duration == timedelta(seconds=5)
    assert config.shadow.max_divergence == 0.2
    assert config.canary.steps == (0.5,)


def test_overrides_for_another_model_change_nothing(models):
    assert load_model(models / "sample", {"other": {"shadow": {"duration": "5s"}}}) == load_model(
        models / "sample"
    )


def test_a_wrong_override_is_an_error_and_not_ignored(models):
    with pytest.raises(ConfigError, match="did you mean 'duration'"):
        load_model(models / "sample", {"sample": {"shadow": {"duraton": "5s"}}})


def test_merging_changes_neither_side():
    base, over = {"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}, "d": 4}
    assert merge(base, over) == {"a": {"b": 1, "c": [3]}, "d": 4}
    assert base == {"a": {"b": 1, "c": [1, 2]}}
    assert over == {"a": {"c": [3]}, "d": 4}


@pytest.mark.parametrize("path", [None, ""])
def test_no_overrides_file_means_no_overrides(path):
    assert load_overrides(path) == {}


def test_a_missing_or_wrong_overrides_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.yaml: no such file; correct HOMEOSTAT_OVERRIDES"):
        load_overrides(tmp_path / "gone.yaml")
    for text in ("[1]", "sample: 3", "a: [", "x: &a {}\ny: *a\n"):
        (tmp_path / "over.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"over\.yaml"):
            load_overrides(tmp_path / "over.yaml")


def test_every_setting_has_a_default_below_one_home(tmp_path):
    settings = Settings.from_env({"HOMEOSTAT_HOME": str(tmp_path)})
    assert settings.models == tmp_path / "include" / "models"
    assert settings.store == f"file://{tmp_path}/.homeostat/store"
    assert settings.ledger == f"sqlite:///{tmp_path}/.homeostat/ledger.db"
    assert settings.control_token == ""
    assert Settings.from_env({}).home == Path(__file__).resolve().parents[2]


def test_environment_variables_replace_the_defaults(tmp_path):
    settings = Settings.from_env(
        {
            "HOMEOSTAT_STATE": str(tmp_path),
            "HOMEOSTAT_STORE": "s3://bucket/prefix",
            "HOMEOSTAT_GATEWAY": "http://gateway:8080/",
            "HOMEOSTAT_TRUSTED_TYPES": "a.B, c.D,,",
            "MLFLOW_TRACKING_URI": "",
        }
    )
    assert settings.store == "s3://bucket/prefix"
    assert settings.cache == tmp_path / "cache"
    assert settings.gateway == "http://gateway:8080"
    assert settings.trusted_types == ("a.B", "c.D")
    assert settings.tracking_uri == "http://127.0.0.1:5000"


def test_a_model_is_loaded_with_the_overrides_merged_over_it(models, tmp_path):
    (tmp_path / "over.yaml").write_text("'*': {shadow: {duration: 10s}}\n")
    env = {"HOMEOSTAT_MODELS": str(models), "HOMEOSTAT_OVERRIDES": str(tmp_path / "over.yaml")}
    settings = Settings.from_env(env)
    assert settings.load_model("sample").shadow.duration == timedelta(seconds=10)
    with pytest.raises(ConfigError, match=r"no model 'sampel' in .*models: sample"):
        settings.load_model("sampel")


def test_the_shipped_models_are_valid():
    models = Settings.from_env({}).load_models()
    assert {"bike_demand", "pump_fault"} <= set(models)


@pytest.mark.parametrize(
    "text", ["a.B, c.D,,", "a.B\nc.D", '["a.B", "c.D"]', "[a.B, c.D]", " a.B,c.D , a.B "], ids=repr
)
def test_trusted_types_are_comma_separated_or_a_list(text):
    assert Settings.from_env({"HOMEOSTAT_TRUSTED_TYPES": text}).trusted_types == ("a.B", "c.D")


@pytest.mark.parametrize("value", ["a.B, c.D", ["a.B", "c.D"]], ids=repr)
def test_trusted_types_of_one_model_come_from_the_overrides(models, value):
    folder = models / "sample"
    assert load_model(folder).trusted_types == ()
    assert load_model(folder, {"sample": {"trusted_types": value}}).trusted_types == ("a.B", "c.D")
    assert load_model(folder, {"other": {"trusted_types": value}}).trusted_types == ()


@pytest.mark.parametrize("text", ["a.B; c.D", "B", "[a.B", "[{a: b}]", "a.B, ../x"], ids=repr)
def test_what_is_no_list_of_types_is_an_error_of_its_setting(text):
    with pytest.raises(ConfigError, match="HOMEOSTAT_TRUSTED_TYPES"):
        Settings.from_env({"HOMEOSTAT_TRUSTED_TYPES": text})
