"""A gateway that serves one model and talks to nothing, to ask it for its own description."""

from __future__ import annotations

import tempfile

from homeostat.adapters.factory import fake_ports
from homeostat.config import ModelConfig, Settings
from homeostat.serving import Options
from homeostat.serving.runtime import Runtime

MODEL = {
    "name": "churn",
    "task": "classification",
    "pipeline": "pipeline.py:build",
    "source": {"kind": "predictions"},
    "schema": {
        "timestamp": "at",
        "label": {"name": "left", "classes": [0, 1]},
        "features": {
            "age": {"type": "number"},
            "plan": {"type": "category", "categories": ["basic", "plus"]},
        },
    },
}


def runtime() -> Runtime:
    """Return the parts of a gateway; it is not started."""
    settings = Settings.from_env({"HOMEOSTAT_HOME": tempfile.mkdtemp()})
    return Runtime(
        {"churn": ModelConfig.model_validate(MODEL)}, fake_ports(), settings, Options(gateway="docs")
    )
