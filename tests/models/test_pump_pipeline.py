"""The pump_fault model: it learns, becomes stale in the scenario, and recovers with hours after the drift."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from homeostat.config import load_model
from homeostat.config.errors import ConfigError

ORIGIN = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    for name in ("SCENARIO", "DRIFT_AT", "SEED"):
        monkeypatch.delenv(f"HOMEOSTAT_PUMP_{name}", raising=False)
    monkeypatch.setenv("HOMEOSTAT_PUMP_STATE", str(tmp_path / "pump.json"))


@pytest.fixture(scope="module")
def config(models_folder):
    return load_model(models_folder / "pump_fault")


def fit(pump_pipeline, config, rows, end):
    """Train as model.yaml defines: hold out the newest rows, weight the others down with age."""
    names = list(config.feature_names)
    settings = config.training
    rows = rows[(rows["timestamp"] >= end - settings.window.length) & (rows["timestamp"] < end)]
    cut = int(len(rows) * (1 - settings.holdout))
    train, holdout = rows.iloc[:cut], rows.iloc[cut:]
    weights = 0.5 ** ((end - train["timestamp"]) / settings.window.half_life)
    model = pump_pipeline.build().fit(train[names], train["fault"], trees__sample_weight=weights)
    return model, holdout


def test_the_scenario_makes_the_champion_stale_and_a_retrain_recovers(pump_pipeline, pump_simulator, config):
    drift = ORIGIN + 72 * HOUR
    rows = pump_simulator.simulate(ORIGIN, drift + 36 * HOUR, "story", drift_at=drift)
    names = list(config.feature_names)

    def score(model, start, end):
        part = rows[(rows["timestamp"] >= start) & (rows["timestamp"] < end)]
        return model.score(part[names], part["fault"])

    champion, _ = fit(pump_pipeline, config, rows, drift - 25 * HOUR)
    candidate, holdout = fit(pump_pipeline, config, rows, drift + 4 * HOUR)
    assert score(champion, drift - 24 * HOUR, drift) > 0.89
    assert score(champion, drift + 12 * HOUR, drift + 36 * HOUR) < 0.80
    assert score(candidate, drift + 12 * HOUR, drift + 36 * HOUR) > 0.83
    assert (
        candidate.score(holdout[names], holdout["fault"])
        > champion.score(holdout[names], holdout["fault"]) + 0.05
    )


def test_the_pipeline_predicts_with_missing_numbers_and_unknown_categories(pump_pipeline, config):
    rows = pump_pipeline.load(ORIGIN, ORIGIN + 6 * HOUR)
    names = list(config.feature_names)
    model = pump_pipeline.build().fit(rows[names], rows["fault"])
    odd = rows[names].head(20).assign(pressure=float("nan"), site="valley")
    assert set(model.predict(odd)) <= {0, 1}


def test_the_loader_returns_the_columns_of_model_yaml(pump_pipeline, config):
    rows = pump_pipeline.load(None, ORIGIN + 48 * HOUR)
    columns = config.columns
    assert set(rows.columns) == {columns.timestamp, columns.key, columns.label.name, *config.feature_names}
    for name, feature in columns.features.items():
        if feature.range:
            assert rows[name].between(*feature.range).all(), name
        else:
            assert set(rows[name]) == set(feature.categories or ())
    assert rows["timestamp"].iloc[0] == ORIGIN + 12 * HOUR


def test_the_loader_reads_the_state_file_on_every_call(pump_pipeline, tmp_path, monkeypatch):
    quiet = pump_pipeline.load(ORIGIN, ORIGIN + HOUR)
    (tmp_path / "pump.json").write_text(json.dumps({"scenario": "story", "drift_at": ORIGIN.isoformat()}))
    drifted = pump_pipeline.load(ORIGIN, ORIGIN + HOUR)
    assert drifted["temperature"].mean() > quiet["temperature"].mean() + 9
    monkeypatch.setenv("HOMEOSTAT_PUMP_SCENARIO", "quiet")
    pd.testing.assert_frame_equal(pump_pipeline.load(ORIGIN, ORIGIN + HOUR), quiet)


@pytest.mark.parametrize("text", ["{", "[]", '{"scenarioo": "story"}'])
def test_a_broken_state_file_is_named(pump_pipeline, tmp_path, text):
    (tmp_path / "pump.json").write_text(text)
    with pytest.raises(ConfigError, match=r"pump\.json: .*drift_at"):
        pump_pipeline.load(ORIGIN, ORIGIN + HOUR)
