"""A small model on a real folder, and the whole world as fakes."""

import importlib
from datetime import timedelta

import pytest

from homeostat.adapters import fake_ports
from homeostat.config import load_model
from homeostat.flows import RetrainRequest, run_key
from toy import MODEL, PIPELINE, T0, rows_between


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "toy"
    home.mkdir()
    (home / "model.yaml").write_text(MODEL)
    (home / "pipeline.py").write_text(PIPELINE)
    rows_between(T0 - timedelta(days=5), T0).to_csv(home / "rows.csv", index=False)
    return home


@pytest.fixture
def config(folder):
    return load_model(folder)


@pytest.fixture
def ports():
    return fake_ports(start=T0)


@pytest.fixture
def ask():
    def make(name="run 1", **more):
        return RetrainRequest(run_key=run_key("toy", name), trigger_id=more.pop("trigger_id", name), **more)

    return make


@pytest.fixture
def quick(monkeypatch):
    """Without the three hundred timed answers, which take most of a retrain's time."""
    evaluating = importlib.import_module("homeostat.training.evaluate")
    monkeypatch.setattr(evaluating, "p99_latency", lambda *_: 1.0)
    monkeypatch.setattr("homeostat.training.p99_latency", lambda *_: 1.0)
