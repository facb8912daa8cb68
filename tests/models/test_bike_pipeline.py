"""The bike_demand model on a generated file, and on the real file if it is present."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.config import load_model
from homeostat.config.errors import DataError

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("HOMEOSTAT_DATA") or ROOT.parent / "shared" / "data") / "bike" / "hour.csv"
real = [
    pytest.mark.data,
    pytest.mark.skipif(
        not DATA.is_file(), reason=f"the real bike data is not at {DATA}: set HOMEOSTAT_DATA to its folder"
    ),
]


@pytest.fixture(scope="module")
def config(models_folder):
    return load_model(models_folder / "bike_demand")


@pytest.fixture
def load(config):
    return load_pipeline(config, config.source.loader)


@pytest.fixture(autouse=True)
def _no_data(monkeypatch, tmp_path):
    monkeypatch.delenv("HOMEOSTAT_BIKE_DATA", raising=False)
    monkeypatch.delenv("HOMEOSTAT_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def generated(tmp_path, monkeypatch) -> Path:
    rng = np.random.default_rng(0)
    hours = pd.date_range("2011-01-01", periods=24 * 30, freq="h")
    n = len(hours)
    casual = rng.integers(0, 100, n)
    registered = rng.integers(0, 200, n)
    frame = pd.DataFrame({
        "instant": range(1, n + 1), "dteday": hours.strftime("%Y-%m-%d"), "season": 1, "yr": 0,
        "mnth": hours.month, "hr": hours.hour, "holiday": 0, "weekday": (hours.day_of_week + 1) % 7,
        "workingday": (hours.day_of_week < 5).astype(int), "weathersit": rng.integers(1, 4, n),
        "temp": rng.random(n), "atemp": rng.random(n), "hum": rng.random(n), "windspeed": rng.random(n),
        "casual": casual, "registered": registered, "cnt": casual + registered,
    })  # fmt: skip
    path = tmp_path / "bike" / "hour.csv"
    path.parent.mkdir()
    frame.to_csv(path, index=False)
    monkeypatch.setenv("HOMEOSTAT_BIKE_DATA", str(path))
    return path


def test_rows_have_the_columns_of_model_yaml_and_no_leaking_column(load, config, generated):
    rows = load(None, None)
    assert set(rows.columns) == {"timestamp", "high_demand", *config.feature_names}
    assert not {"cnt", "casual", "registered", "yr", "instant"} & set(rows.columns)
    raw = pd.read_csv(generated)
    assert rows["high_demand"].tolist() == (raw["cnt"] > 142).astype(int).tolist()
    assert rows["timestamp"].iloc[5] == datetime(2011, 1, 1, 5, tzinfo=UTC)


def test_the_loader_returns_the_rows_of_an_interval(load, generated):
    rows = load(datetime(2011, 1, 2, tzinfo=UTC), datetime(2011, 1, 3, tzinfo=UTC))
    assert len(rows) == 24
    assert rows["timestamp"].iloc[0] == datetime(2011, 1, 2, tzinfo=UTC)
    assert load(datetime(2012, 1, 2, tzinfo=UTC), None).empty


def test_the_file_is_found_in_the_common_data_folder(load, generated, monkeypatch):
    monkeypatch.delenv("HOMEOSTAT_BIKE_DATA")
    monkeypatch.setenv("HOMEOSTAT_DATA", str(generated.parents[1]))
    assert len(load(None, None)) == 720


def test_a_missing_file_is_an_error_with_the_remedy(load, monkeypatch):
    with pytest.raises(DataError, match=r"HOMEOSTAT_BIKE_DATA is not set.*UCI.*export HOMEOSTAT_BIKE_DATA="):
        load(None, None)
    monkeypatch.setenv("HOMEOSTAT_BIKE_DATA", "/nowhere/hour.csv")
    with pytest.raises(DataError, match=r"no such file: /nowhere/hour\.csv"):
        load(None, None)


def test_a_different_file_is_refused_with_its_name(load, monkeypatch, tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    monkeypatch.setenv("HOMEOSTAT_BIKE_DATA", str(tmp_path / "other.csv"))
    with pytest.raises(DataError, match=r"other\.csv: not the hour\.csv"):
        load(None, None)


def test_the_pipeline_fits_and_predicts_classes(load, config, generated):
    rows = load(None, None)
    names = list(config.feature_names)
    model = load_pipeline(config)().fit(rows[names], rows["high_demand"])
    odd = rows[names].head(5).assign(temp=float("nan"), season="9")
    assert set(model.predict(odd)) <= {0, 1}


class TestRealData:
    pytestmark = real

    def test_the_first_version_is_stale_in_autumn_and_a_retrain_recovers(self, load, config, monkeypatch):
        monkeypatch.setenv("HOMEOSTAT_BIKE_DATA", str(DATA))
        rows = load(None, None)
        assert len(rows) == 17379
        assert rows["timestamp"].is_unique
        for name, feature in config.columns.features.items():
            within = (
                rows[name].isin(feature.categories)
                if feature.categories
                else rows[name].between(*feature.range)
            )
            assert within.all(), name
        names = list(config.feature_names)

        def between(start, end):
            return rows[(rows["timestamp"] >= start) & (rows["timestamp"] < end)]

        def version(end):
            known = end - config.columns.label.delay
            past = between(known - config.training.window.length, known)
            train = past.iloc[: int(len(past) * (1 - config.training.holdout))]
            return load_pipeline(config)().fit(train[names], train["high_demand"])

        started, fired = datetime(2011, 8, 10, tzinfo=UTC), datetime(2011, 10, 5, tzinfo=UTC)
        first, second = version(started), version(fired)
        summer = between(started, started + config.monitor.window)
        autumn = between(fired, fired + 3 * config.monitor.window)
        assert first.score(summer[names], summer["high_demand"]) > 0.92
        assert first.score(autumn[names], autumn["high_demand"]) < 0.90
        assert second.score(autumn[names], autumn["high_demand"]) > 0.91
