"""What the tests of the shipped models share: the folder, and its files, loaded by path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

MODELS = Path(__file__).resolve().parents[2] / "include" / "models"


def load_file(path: Path, name: str) -> ModuleType:
    """Load one Python file by path, once."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def models_folder() -> Path:
    return MODELS


@pytest.fixture(scope="session")
def pump_simulator() -> ModuleType:
    return load_file(MODELS / "pump_fault" / "simulator.py", "homeostat_models.pump_fault.simulator")


@pytest.fixture(scope="session")
def pump_pipeline() -> ModuleType:
    return load_file(MODELS / "pump_fault" / "pipeline.py", "homeostat_models.pump_fault.pipeline")
