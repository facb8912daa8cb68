"""A backtest of a model with slices: retrains for a slice that decays, and scores by slice."""

import io
import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from backtest.small_history import T0, in_memory_ports
from homeostat import backtesting
from homeostat.backtesting.report import to_json
from homeostat.cli.commands import backtest_table
from homeostat.config import load_model

MODEL = """
name: small
task: classification
pipeline: pipeline.py:build
source: {kind: csv, uri: rows.csv}
schema:
  timestamp: at
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
    kind: {type: category}
monitor: {slices: [kind]}
training: {min_rows: 500}
gate: {p99_latency_ms: 10000}
"""
PIPELINE = """
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier


def build():
    columns = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    return make_pipeline(columns, DecisionTreeClassifier(max_depth=4, min_samples_leaf=20, random_state=1))
"""
ROWS, CHANGE = 1000, 7


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """From day 7 on the concept is reversed for red, a tenth of the rows."""
    folder = tmp_path_factory.mktemp("small") / "small"
    folder.mkdir()
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    n = 12 * ROWS
    rng, day = np.random.default_rng(3), np.arange(n) // ROWS
    a, kind = rng.normal(size=n), rng.choice(["red", "blue", "green"], n, p=[0.1, 0.6, 0.3])
    y = ((a > 0) ^ ((kind == "red") & (day >= CHANGE)) ^ (rng.random(n) < 0.08)).astype(int)
    at = pd.date_range(T0, periods=n, freq=pd.Timedelta(86_400 / ROWS, "s"))
    rows = pd.DataFrame({"at": at, "a": a, "kind": kind, "y": y})
    day = timedelta(days=1)
    return backtesting.run_backtest(
        load_model(folder), rows, in_memory_ports, windows=day, reference_share=0.3
    )


def test_a_slice_that_decays_starts_retrains_in_a_backtest_too(result):
    events = [each for each in result.outcomes["homeostat"].run.results if each.event == "retrain"]
    assert events
    assert {each.reason for each in events} == {"slice_decay"}
    assert all("kind=red" in each.sentence for each in events)
    assert any("slice decay" in line for line in to_json(result)["summary"])


def test_every_policy_is_scored_in_each_slice(result, monkeypatch):
    found = {each.name: each for each in result.slices}
    assert list(found) == ["kind=blue", "kind=green", "kind=red"], "the rest has no rows"
    whole = result.outcomes["frozen"]
    rows = sum(each.rows for each in found.values())
    mean = sum(each.rows * each.scores["frozen"] for each in found.values()) / rows
    assert mean == pytest.approx(whole.score), "the slices of a feature add up to the whole"
    assert found["kind=red"].scores["frozen"] < 0.6
    assert found["kind=blue"].scores["frozen"] > 0.85
    assert list(found["kind=red"].scores) == list(result.outcomes)
    assert json.loads(json.dumps(to_json(result)))["slices"][2]["name"] == "kind=red"
    screen = io.StringIO()
    monkeypatch.setattr(backtest_table, "out", Console(file=screen, width=100))
    backtest_table.show(result)
    assert "kind=red" in screen.getvalue()
