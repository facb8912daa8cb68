"""The pump_fault model: what is fitted, and where its rows come from."""

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
ORIGIN = "2026-01-05T00:00:00+00:00"  # where the fleet's time begins when nobody says otherwise
PAST = timedelta(hours=36)  # what load() gives when it is asked for everything until ``end``


def build() -> Any:
    """Build the unfitted pipeline. Its trees take missing numbers as they are, and are small on purpose.

    Right after a drift there are only some hundred rows of the new world to learn from.
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
    """Rows with labels from the simulator, ``start <= timestamp < end``.

    Without ``start`` the last 36 hours before ``end``; without ``end`` 36 hours from the origin or ``start``.
    What happens to the fleet is read afresh at every call, see :func:`state`.
    """
    first = datetime.fromisoformat(ORIGIN) if start is None else start
    until = first + PAST if end is None else end
    now = state()
    first = until - PAST if start is None else start
    return simulate(first, until, now["scenario"], drift_at=now["drift_at"] or None, seed=int(now["seed"]))


def state() -> dict[str, Any]:
    """What happens to the fleet: ``scenario``, ``drift_at`` (an ISO time, or empty for not yet), ``seed``.

    The environment has the last word: ``HOMEOSTAT_PUMP_SCENARIO``, ``HOMEOSTAT_PUMP_DRIFT_AT``,
    ``HOMEOSTAT_PUMP_SEED``. Then the JSON file :func:`state_file`, so that a running platform can be told
    from outside. With neither, the fleet is quiet.

    Raises
    ------
    ConfigError
        The file is not a JSON object with these keys.
    """
    known: dict[str, Any] = {"scenario": "quiet", "drift_at": "", "seed": 0}
    path = state_file()
    if path.exists():
        try:
            said = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            msg = f"{path}: not valid JSON ({error}); write for example {json.dumps(known)}"
            raise ConfigError(msg) from None
        if not isinstance(said, dict) or not said.keys() <= known.keys():
            msg = f"{path}: expected an object with scenario, drift_at and seed, such as {json.dumps(known)}"
            raise ConfigError(msg)
        known |= said
    return {name: os.environ.get(f"HOMEOSTAT_PUMP_{name.upper()}") or value for name, value in known.items()}


def state_file() -> Path:
    """``$HOMEOSTAT_PUMP_STATE``, or pump_fault.json in the platform's state folder."""
    return Path(os.environ.get("HOMEOSTAT_PUMP_STATE") or Settings.from_env().state / "pump_fault.json")
