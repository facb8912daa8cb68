"""`homeostat new MODEL` writes a folder that runs without changes, or nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.bundle.predictor import Predictor
from homeostat.config import load_model, load_models
from homeostat.config.errors import AlreadyExists, ConfigError
from homeostat.config.model import Source
from homeostat.demo.scenario import Scenario, overrides, set_environment
from homeostat.retraining.fit import fit
from homeostat.retraining.type_check import check_types
from homeostat.scaffold import ESTIMATORS, new_model

FILE = Source(kind="predictions", history=Source(kind="csv", uri="rows.csv"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return new_model("fresh_one", tmp_path_factory.mktemp("models"))


def test_the_template_is_a_valid_model(made):
    config = load_model(made)
    assert config.name == "fresh_one"
    assert (config.serve, config.source.kind, config.source.history.kind) == (
        "gateway",
        "predictions",
        "loader",
    )
    assert not [path.name for path in made.iterdir() if "__MODEL__" in path.read_text()]
    assert sorted(path.name for path in made.iterdir()) == ["README.md", "model.yaml", "pipeline.py"]


def test_the_template_model_fits_its_own_rows(made):
    config = load_model(made)
    rows = load_pipeline(config, config.source.history.loader)(None, None)
    columns = config.columns
    assert set(rows.columns) == {columns.timestamp, columns.key, columns.label.name, *config.feature_names}
    assert rows["timestamp"].is_monotonic_increasing
    for name, feature in columns.features.items():
        ok = rows[name].isin(feature.categories) if feature.categories else rows[name].between(*feature.range)
        assert ok.all(), name
    names, cut = list(config.feature_names), int(len(rows) * 0.8)
    label = rows[columns.label.name]
    model = load_pipeline(config)().fit(rows[names][:cut], label[:cut])
    assert model.score(rows[names][cut:], label[cut:]) > 0.8


def test_the_template_generates_the_same_rows_for_the_same_hours(made):
    config = load_model(made)
    load = load_pipeline(config, config.source.history.loader)
    start = datetime(2026, 1, 5, 3, tzinfo=UTC)
    whole = load(start, start + timedelta(hours=6))
    halves = [
        load(start, start + timedelta(hours=2)),
        load(start + timedelta(hours=2), start + timedelta(hours=6)),
    ]
    pd.testing.assert_frame_equal(pd.concat(halves, ignore_index=True), whole)


def test_the_demo_with_a_file_puts_it_in_the_place_of_the_history(made, tmp_path):
    config = load_model(made)
    set_environment(config.model_copy(update={"source": FILE}), Scenario(), tmp_path / "rows.csv")
    changed = load_model(made, overrides(config, Scenario(), tmp_path / "rows.csv"))
    assert changed.source.kind == "predictions"
    assert changed.source.history.description == f"csv {tmp_path / 'rows.csv'}"
    with pytest.raises(ConfigError, match="the source of fresh_one is 'loader', which reads no file"):
        set_environment(config, Scenario(), tmp_path / "rows.csv")


def test_the_template_passes_the_linter(made):
    config = made.parents[0] / "ruff.toml"
    config.write_text('line-length = 110\n[lint]\nselect = ["E", "F", "I", "B", "UP", "SIM"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", config, made],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "name", ["", "a/b", "../up", "..", "Big", "with space", "-first", "é", "x" * 64, "a\n", "a.b"]
)
def test_an_invalid_name_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(ConfigError, match="is not a valid model name"):
        new_model(name, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_refused_name_comes_with_a_valid_one(tmp_path):
    with pytest.raises(ConfigError, match=re.escape("for example 'my_model_2'")):
        new_model("My Model/2", tmp_path)


def test_an_existing_folder_is_not_changed(tmp_path):
    folder = new_model("mine", tmp_path)
    (folder / "pipeline.py").write_text("# changed")
    with pytest.raises(AlreadyExists, match="mine already exists"):
        new_model("mine", tmp_path)
    assert (folder / "pipeline.py").read_text() == "# changed"
    assert list(load_models(tmp_path)) == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_the_command_says_where_it_writes(tmp_path, monkeypatch, capsys):
    from homeostat.cli.commands import write_new
    from homeostat.config import Settings

    monkeypatch.setenv("HOMEOSTAT_MODELS", "here/models")
    monkeypatch.chdir(tmp_path)
    write_new(Settings.from_env(), "churn", as_json=False)
    said = capsys.readouterr().out
    assert f"Created {tmp_path}/here/models/churn." in said
    assert "HOMEOSTAT_MODELS names another folder" in said


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_estimator_gives_a_model_that_learns_and_is_trusted(tmp_path, estimator):
    folder = new_model("mine", tmp_path, estimator)
    config = load_model(folder)
    rows = load_pipeline(config, config.source.history.loader)(None, None).head(6000)
    check_types(config, rows, ())
    found = Predictor.of(config, fit(config, rows.head(5000), None)).predict(rows.tail(1000))
    assert (found.prediction == rows[config.columns.label.name].tail(1000)).mean() > 0.8
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--isolated",
            "--select",
            "E,F,I,B",
            "--line-length=110",
            folder,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_an_unknown_estimator_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="choose one of sklearn, lightgbm, xgboost, catboost"):
        new_model("mine", tmp_path, "torch")
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_a_library_that_is_missing(tmp_path, monkeypatch, capsys):
    from homeostat.cli.commands import write_new
    from homeostat.config import Settings

    monkeypatch.setenv("HOMEOSTAT_MODELS", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    write_new(Settings.from_env(), "churn", as_json=False, estimator="lightgbm")
    assert "pip install 'homeostat[lightgbm]'" in capsys.readouterr().out
