"""Shared by the tests of the shipped models: their folder and files, loaded as the platform loads them."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from homeostat.bundle.pipeline import load_pipeline
from homeostat.config import load_model

MODELS = Path(__file__).resolve().parents[2] / "include" / "models"


@pytest.fixture(scope="session")
def models_folder() -> Path:
    return MODELS


@pytest.fixture(scope="session")
def pump_pipeline() -> ModuleType:
    return sys.modules[load_pipeline(load_model(MODELS / "pump_fault")).__module__]


@pytest.fixture(scope="session")
def pump_simulator(pump_pipeline) -> ModuleType:
    return sys.modules[pump_pipeline.simulate.__module__]
