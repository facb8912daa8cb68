"""Demo models can be copied into any folder of models."""

from datetime import UTC, datetime, timedelta

import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.config import load_model
from homeostat.config.errors import AlreadyExists, ConfigError
from homeostat.scaffold.examples import copy_example, example_names


def test_the_demo_models_are_the_examples():
    assert example_names() == ["bike_demand", "pump_fault"]


@pytest.mark.parametrize("name", ["pump_fault", "my_pumps"])
def test_a_copy_works_under_its_own_name_and_another(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    folder = copy_example("pump_fault", name, tmp_path)
    assert not list(folder.rglob("__pycache__"))
    config = load_model(folder)
    assert config.name == name
    end = datetime(2026, 1, 6, tzinfo=UTC)
    rows = load_pipeline(config, "pipeline.py:load")(end - timedelta(hours=2), end)
    assert set(config.feature_names) <= set(rows.columns)
    assert len(rows) > 0


def test_an_example_that_does_not_exist_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"no such example \(is it 'pump_fault'\?\); examples: bike_demand"):
        copy_example("pumpfault", "x", tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_there_is_kept(tmp_path):
    (tmp_path / "pump_fault").mkdir()
    with pytest.raises(AlreadyExists):
        copy_example("pump_fault", "pump_fault", tmp_path)
    assert not list((tmp_path / "pump_fault").iterdir())
