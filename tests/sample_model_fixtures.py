"""The sample model in a real folder, and fakes of all ports."""

from datetime import timedelta

import pytest

from homeostat.adapters import fake_ports
from homeostat.config import load_model
from homeostat.storage.retrain_request import RetrainRequest, run_key
from sample_model import MODEL, PIPELINE, T0, one_ms, retrain, rows_between


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "sample"
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
    """Fakes without figures, which take most of a check's time."""
    return fake_ports(start=T0, renders_figures=False)


@pytest.fixture
def champion(config, ports, ask):
    """A first version that is champion; its notices are cleared."""
    retrain(config, ports, ask())
    ports.notifier.sent.clear()


@pytest.fixture
def ask():
    def make(name="run 1", **more):
        trigger_id = more.pop("trigger_id", name)
        return RetrainRequest(run_key=run_key("sample", name), trigger_id=trigger_id, **more)

    return make


@pytest.fixture
def quick(monkeypatch):
    """Skip the latency measurement, which takes most of a retrain's time."""
    monkeypatch.setattr("homeostat.bundle.latency.compare_latency", one_ms)
