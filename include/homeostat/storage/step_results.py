"""The result of each step of a retrain, in the Store.

    retrain/<model>/<run_key>/<step>.json

A step that finds its own result returns it: Airflow runs tasks at least once, and a second run must change
nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound
from homeostat.ports import Store

#: Keys that release 0.1 wrote, and their names now: an upgrade may fall between two steps of a retrain.
_OLD_NAMES = {
    "judge": "holdout_version",
    "parity": "environment_differences",
    "parity_forced": "environment_forced",
    "goes_on": "proceeds",
}


def save_result(
    store: Store, model: str, run_key: str, step: str, result: Mapping[str, Any]
) -> dict[str, Any]:
    """Store a step's result and return it."""
    data = json.dumps(result, indent=1, allow_nan=False).encode()
    store.put(result_key(model, run_key, step), data, overwrite=True)
    return dict(result)


def load_result(store: Store, model: str, run_key: str, step: str) -> dict[str, Any]:
    """Return the result of a finished step; raises NotFound when it has not finished."""
    found: dict[str, Any] = json.loads(store.get(result_key(model, run_key, step)))
    return {_OLD_NAMES.get(name, name): value for name, value in found.items()}


def find_result(store: Store, model: str, run_key: str, step: str) -> dict[str, Any] | None:
    """Return the result of a step, or None when it has not finished."""
    try:
        return load_result(store, model, run_key, step)
    except NotFound:
        return None


def scored_config(config: ModelConfig, assembled: Mapping[str, Any]) -> ModelConfig:
    """Return the configuration with the positive class that the assemble step decided on."""
    return config.with_positive(assembled["positive"]) if "positive" in assembled else config


def result_key(model: str, run_key: str, step: str) -> str:
    """Return the Store key of a step's result."""
    return f"retrain/{model}/{run_key}/{step}.json"
