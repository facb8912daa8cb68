"""homeostat quickstart: a model folder from a file of rows."""

import json
import sys
import warnings
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from homeostat.adapters.configured_source import ConfiguredSource
from homeostat.adapters.store_memory import MemoryStore
from homeostat.bundle.pipeline import load_pipeline
from homeostat.bundle.predictor import Predictor
from homeostat.cli.app import app
from homeostat.cli.commands.quickstart_replay import MAX_ROWS, MIN_WINDOWS, plan_replay, with_fewer_rows
from homeostat.config import load_model
from homeostat.core.training_data.coercion import coerce_rows
from homeostat.core.training_data.quality import run_checks
from homeostat.retraining.fit import fit
from homeostat.scaffold.write_model import min_rows_of

ROWS = 600


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command in an empty folder, with an empty folder of models."""
    monkeypatch.setenv("HOMEOSTAT_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HOMEOSTAT_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*arguments, status=0):
        result = CliRunner().invoke(app, ["quickstart", *arguments])
        assert result.exit_code == status, result.output
        return result.output

    return call


def churn(path, rows=ROWS):
    """Text classes, categories, an identifier, a constant and blanks among numbers."""
    rng = np.random.default_rng(1)
    charge, plan = rng.gamma(9, 8, rows).round(2), rng.choice(["basic", "plus"], rows)
    leaves = rng.random(rows) < 1 / (1 + np.exp(-0.08 * (charge - 75) - 2 * (plan == "basic")))
    frame = pd.DataFrame(
        {
            "customerID": [f"{i:05d}-{i * 7919 % 9973}" for i in range(rows)],
            "signup": pd.date_range("2025-01-01", periods=rows, freq="2h").strftime("%Y-%m-%d %H:%M:%S"),
            "plan": plan,
            "charge": charge.astype(str),
            "country": "DE",
            "Churn": np.where(leaves, "Yes", "No"),
        }
    )
    frame.loc[rng.choice(rows, 8, replace=False), "charge"] = " "
    frame.to_csv(path, index=False)


def prices(path):
    """Numbers, dates and separators as a German program writes them."""
    rng = np.random.default_rng(2)
    area = rng.gamma(8, 12, ROWS).round(1)
    price = 3000 * area + rng.normal(0, 9000, ROWS)
    pd.DataFrame(
        {
            "Verkauf": pd.date_range("2024-03-01", periods=ROWS, freq="7h").strftime("%d.%m.%Y %H:%M"),
            "Ort": rng.choice(["Köln", "Bonn"], ROWS),
            "Fläche m²": [german(each) for each in area],
            "Preis": [german(each) for each in price],
        }
    ).to_csv(path, index=False, sep=";")


def german(number):
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


def flowers(path):
    """No times, sorted by the label."""
    rng = np.random.default_rng(3)
    kind = np.repeat([0, 1, 2], ROWS // 3)
    pd.DataFrame(
        {
            "petal width": (0.3 + 0.9 * kind + rng.normal(0, 0.3, ROWS)).round(1),
            "species": np.array(["setosa", "versicolor", "virginica"])[kind],
        }
    ).to_csv(path, index=False)


FILES = {
    "churn": (churn, "Churn", {"plan": "category", "charge": "number"}),
    "prices": (prices, "Preis", {"Ort": "category", "Fläche m²": "number"}),
    "flowers": (flowers, "species", {"petal width": "number"}),
}


@pytest.mark.parametrize("name", FILES)
def test_the_written_model_learns_and_predicts(run, tmp_path, name):
    write, label, features = FILES[name]
    write(tmp_path / f"{name}.csv")
    found = json.loads(run(f"{name}.csv", "--label", label, "--no-backtest", "--json"))
    assert found["features"] == features
    assert found["backtest"] is None
    config = load_model(tmp_path / "models" / name)
    assert config.columns.label.delay > timedelta(0)
    rows = ConfiguredSource(MemoryStore()).read(config.history_only(), None, None)
    typed = coerce_rows(rows, config, label=True)
    assert len(typed.rows) == ROWS, "no row is set aside"
    train, test = typed.rows.iloc[: ROWS * 2 // 3], typed.rows.iloc[ROWS * 2 // 3 :]
    pipeline = load_pipeline(config)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(train[list(features)], train[label])
    score = pipeline.score(test[list(features)], test[label])
    assert score > {"churn": 0.6, "prices": 0.9, "flowers": 0.8}[name]
    request = json.loads((config.folder / "request.json").read_text())
    [row] = request["dataframe_records"]
    assert list(row) == list(features)


@pytest.mark.parametrize("times", [True, False], ids=["times", "no times"])
def test_a_wide_file_is_made_a_model_without_a_warning(run, tmp_path, times):
    rng = np.random.default_rng(4)
    columns = {f"f{i}": rng.normal(size=200).round(3) for i in range(160)}
    if times:
        columns["at"] = pd.date_range("2025-01-01", periods=200, freq="h").astype(str)
    pd.DataFrame(columns | {"y": rng.choice(["a", "b"], 200)}).to_csv(tmp_path / "wide.csv", index=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.PerformanceWarning)
        run("wide.csv", "--label", "y", "--no-backtest")
        config = load_model(tmp_path / "models" / "wide")
        rows = ConfiguredSource(MemoryStore()).read(config.history_only(), None, None)
        assert len(run_checks(coerce_rows(rows, config, label=True).rows, config).kept) == 200


@pytest.mark.parametrize("estimator", ["lightgbm", "xgboost", "catboost"])
@pytest.mark.parametrize("name", ["churn", "prices"])
def test_a_model_of_another_library_is_written_for_the_task(run, tmp_path, name, estimator):
    write, label, _ = FILES[name]
    write(tmp_path / f"{name}.csv")
    run(f"{name}.csv", "--label", label, "--no-backtest", "--estimator", estimator)
    config = load_model(tmp_path / "models" / name)
    rows = ConfiguredSource(MemoryStore()).read(config.history_only(), None, None)
    typed = coerce_rows(rows, config, label=True).rows
    found = Predictor.of(config, fit(config, typed, None)).predict(typed).prediction
    if config.task == "classification":
        assert (found == typed[label]).mean() > 0.8
    else:
        assert np.corrcoef(found, typed[label])[0, 1] > 0.95


def test_a_library_that_is_missing_is_named_before_anything_is_written(run, tmp_path, monkeypatch):
    churn(tmp_path / "churn.csv")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    said = run("churn.csv", "--label", "Churn", "--estimator", "lightgbm", status=1)
    assert "python -m pip install 'homeostat[lightgbm]'" in " ".join(said.split())
    assert not (tmp_path / "models").exists()


def test_it_says_what_it_guessed_replays_it_and_prints_the_next_commands(run, tmp_path):
    churn(tmp_path / "churn.csv", 1500)
    said = run("churn.csv", "--label", "Churn", "--time", "signup", "--name", "leavers")
    flat = " ".join(said.split())
    for words in (
        "Created models/leavers from 1,500 rows with a label",
        "classification: Churn is No, Yes, compared by accuracy",
        "customerID: identifies rows, and says nothing about others",
        "country: has the same value in every row",
        "edit it to change it",
        "never retrain",
        "homeostat up",
        "homeostat retrain leavers",
        "homeostat check leavers --window-end now",
        "-d @models/leavers/request.json",
    ):
        assert words in flat
    assert "…" not in said, "every column of the table fits into 80 columns"
    assert (tmp_path / "models" / "leavers" / "model.yaml").is_file()


def test_a_file_without_times_says_what_follows(run, tmp_path):
    flowers(tmp_path / "flowers.csv")
    said = " ".join(run("flowers.csv", "--label", "species", "--no-backtest").split())
    assert "no column of times: the rows count as one minute apart" in said
    assert "The file is sorted by 'species', so its rows are mixed first" in said
    rows = pd.read_parquet(tmp_path / "models" / "flowers" / "rows.parquet")
    assert len(rows) == ROWS
    assert set(rows["timestamp"].diff().dropna()) == {pd.Timedelta(minutes=1)}
    assert rows["species"].iloc[:60].nunique() == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--label", "churn"], "has no column 'churn' (is it 'Churn' here?)"),
        (["--label", "Churn", "--time", "sign-up"], "has no column 'sign-up' (is it 'signup' here?)"),
        (["--label", "Churn", "--task", "ranking"], "--task ranking: write classification or regression"),
        (
            ["--label", "Churn", "--estimator", "prophet"],
            "choose one of sklearn, lightgbm, xgboost, catboost",
        ),
        (["--label", "Churn", "--name", "My Model"], "for example 'my_model'"),
        (["--label", "Churn", "--date-format", "signup"], "write COLUMN=FORMAT"),
        (["--label", "customerID"], "a label is a number, or one of at most 100 classes"),
    ],
    ids=["label", "time", "task", "estimator", "name", "date-format", "identifier"],
)
def test_an_error_says_what_to_write_and_nothing_is_written(run, tmp_path, arguments, says):
    churn(tmp_path / "churn.csv")
    assert says in " ".join(run("churn.csv", *arguments, status=1).split())
    assert not (tmp_path / "models").exists()


def test_a_folder_that_is_there_is_kept(run, tmp_path):
    churn(tmp_path / "churn.csv")
    run("churn.csv", "--label", "Churn", "--no-backtest")
    before = (tmp_path / "models" / "churn" / "model.yaml").read_text()
    assert "already exists and was not changed" in run("churn.csv", "--label", "plan", status=1)
    assert (tmp_path / "models" / "churn" / "model.yaml").read_text() == before


@pytest.mark.parametrize("seconds", [0.01, 1.0, 30.0])
def test_a_long_file_or_a_slow_fit_replays_fewer_rows_or_windows(run, tmp_path, seconds):
    churn(tmp_path / "churn.csv")
    run("churn.csv", "--label", "Churn", "--no-backtest")
    config = load_model(tmp_path / "models" / "churn")
    times = pd.Series(pd.date_range("2025-01-01", periods=30_000, freq="10min", tz="UTC"))
    rows = pd.DataFrame({"signup": times, "at": np.arange(30_000)})
    plan = plan_replay(config, rows, by_time=True, fit_seconds=lambda _config, _rows: seconds)
    after = plan.rows["signup"].iloc[-1] - plan.rows["signup"].iloc[int(0.3 * len(plan.rows))]
    assert len(plan.rows) <= MAX_ROWS
    assert plan.rows["at"].is_monotonic_increasing
    assert MIN_WINDOWS - 1 <= after / plan.length <= 16
    assert plan.length % config.monitor.window == timedelta(0)
    assert "of the 30,000 rows" in plan.sentence
    least = min_rows_of(len(plan.rows))
    replayed = with_fewer_rows(config, least)
    assert replayed.training.min_rows <= least <= 0.875 * plan.reference_share * len(plan.rows)
    assert replayed.gate.min_training_rows <= least
    if seconds == 30.0:
        assert len(plan.rows) < MAX_ROWS / 4
        assert after / plan.length <= MIN_WINDOWS
