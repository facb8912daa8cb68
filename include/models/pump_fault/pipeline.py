"""The pump_fault model: its pipeline, and its rows from the simulator."""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from homeostat.config import Settings
from homeostat.config.errors import ConfigError

from .simulator import simulate

NUMBERS = ["temperature", "vibration", "pressure", "flow", "rpm", "load", "ambient"]
CATEGORIES = ["pump_type", "site"]
ORIGIN = "2026-01-05T00:00:00+00:00"  # default start of the simulation
PAST = timedelta(hours=36)  # how much load() returns without ``start``


def build() -> Any:
    """Build the unfitted pipeline. Its trees accept missing numbers, and are small on purpose.

    Soon after a drift there are only a few hundred drifted rows to train on.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", "passthrough", NUMBERS), ("categories", encode, CATEGORIES)])
    trees = HistGradientBoostingClassifier(max_iter=120, max_leaf_nodes=8, random_state=0)
    return Pipeline([("columns", columns), ("trees", trees)])


def load(start: datetime | None = None, end: datetime | None = None) -> pd.DataFrame:
    """Return labelled rows from the simulator with ``start <= timestamp < end``.

    Without ``start``, the last 36 hours before ``end``; without ``end``, 36 hours from ``start`` or the
    origin. The scenario is read again at every call, see :func:`state`.
    """
    first = datetime.fromisoformat(ORIGIN) if start is None else start
    until = first + PAST if end is None else end
    now = state()
    first = until - PAST if start is None else start
    return simulate(first, until, now["scenario"], drift_at=now["drift_at"] or None, seed=int(now["seed"]))


def state() -> dict[str, Any]:
    """Return the state of the fleet: ``scenario``, ``drift_at`` (an ISO time, or "" for no drift), ``seed``.

    The variables ``HOMEOSTAT_PUMP_SCENARIO``, ``HOMEOSTAT_PUMP_DRIFT_AT`` and ``HOMEOSTAT_PUMP_SEED`` come
    first. Then the JSON file :func:`state_file`, which can be changed while the platform runs. The default
    is no drift.

    Raises
    ------
    ConfigError
        The file is not a JSON object with these keys.
    """
    known: dict[str, Any] = {"scenario": "quiet", "drift_at": "", "seed": 0}
    path = state_file()
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            msg = f"{path}: not valid JSON ({error}); write for example {json.dumps(known)}"
            raise ConfigError(msg) from None
        if not isinstance(stored, dict) or not stored.keys() <= known.keys():
            msg = f"{path}: expected an object with scenario, drift_at and seed, such as {json.dumps(known)}"
            raise ConfigError(msg)
        known |= stored
    return {name: os.environ.get(f"HOMEOSTAT_PUMP_{name.upper()}") or value for name, value in known.items()}


def state_file() -> Path:
    """Return ``$HOMEOSTAT_PUMP_STATE``, or pump_fault.json in the platform's state folder."""
    return Path(os.environ.get("HOMEOSTAT_PUMP_STATE") or Settings.from_env().state / "pump_fault.json")
