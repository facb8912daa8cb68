import pytest

from homeostat.config import ModelConfig
from homeostat.core.gate import GateEvidence


def config(metric="accuracy", task="classification", **gate):
    return ModelConfig.model_validate(
        {
            "name": "sample",
            "task": task,
            "pipeline": "pipeline.py:build",
            "source": {"kind": "csv", "uri": "x.csv"},
            "schema": {"label": {"name": "y"}, "features": {"kind": {"type": "category"}}},
            "gate": {"metric": metric, "slices": ["kind"]} | gate,
        }
    )


def evidence(**changes):
    good = {
        "candidate": {"accuracy": 0.9},
        "champion": {"accuracy": 0.9},
        "training_rows": 5000,
        "p99_latency_ms": 2.0,
        "nan_rate": 0.0,
        "distinct_predictions": 40,
        "slices": {"kind=x": {"rows": 50, "score": 0.9}},
        "champion_slices": {"kind=x": {"rows": 50, "score": 0.9}},
    }
    return GateEvidence(**good | changes)


@pytest.fixture(scope="session", name="config")
def _config():
    return config


@pytest.fixture(scope="session", name="evidence")
def _evidence():
    return evidence
