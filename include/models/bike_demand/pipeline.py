"""The bike_demand model: its pipeline, and its rows from the UCI file ``hour.csv``."""

from __future__ import annotations

import os
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from homeostat.config.errors import DataError

NUMBERS = ["hr", "temp", "atemp", "hum", "windspeed"]
CATEGORIES = ["season", "mnth", "holiday", "weekday", "workingday", "weathersit"]
HIGH = 142  # bikes per hour; the median of the two years
# Never casual or registered: their sum is cnt, from which the label is computed.
_READ = ["dteday", *NUMBERS, *CATEGORIES, "cnt"]


def build() -> Any:
    """Build the unfitted pipeline; small trees, because half a year has only about 3,500 rows."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("numbers", "passthrough", NUMBERS), ("categories", encode, CATEGORIES)])
    trees = HistGradientBoostingClassifier(max_iter=120, max_leaf_nodes=8, random_state=0)
    return Pipeline([("columns", columns), ("trees", trees)])


def load(start: datetime | None = None, end: datetime | None = None) -> pd.DataFrame:
    """Return hours with ``start <= timestamp < end``: features and ``high_demand`` (more than 142 bikes).

    Raises
    ------
    DataError
        The file does not exist, or is not the one that README.md describes.
    """
    path = data_path()
    rows = _read(path, path.stat().st_mtime_ns)
    keep = pd.Series(data=True, index=rows.index)
    if start is not None:
        keep &= rows["timestamp"] >= start
    if end is not None:
        keep &= rows["timestamp"] < end
    return rows[keep].reset_index(drop=True)


def data_path() -> Path:
    """Return ``$HOMEOSTAT_BIKE_DATA``, or ``bike/hour.csv`` in ``$HOMEOSTAT_DATA``."""
    given, folder = os.environ.get("HOMEOSTAT_BIKE_DATA"), os.environ.get("HOMEOSTAT_DATA")
    path = Path(given) if given else Path(folder or ".") / "bike" / "hour.csv"
    if path.is_file():
        return path
    where = f"no such file: {path}" if given or folder else "HOMEOSTAT_BIKE_DATA is not set"
    msg = (
        f"bike_demand: {where}. Get hour.csv of the Bike Sharing Dataset from the UCI Machine Learning "
        "Repository (see the model's README.md) and set its path: "
        "export HOMEOSTAT_BIKE_DATA=/path/to/hour.csv, or for the demo --data /path/to/hour.csv"
    )
    raise DataError(msg)


@lru_cache(maxsize=1)
def _read(path: Path, _modified: int) -> pd.DataFrame:
    try:
        raw = pd.read_csv(path, usecols=_READ, dtype=dict.fromkeys(CATEGORIES, str))
        days = pd.to_datetime(raw["dteday"], format="%Y-%m-%d", utc=True)
    except (ValueError, UnicodeDecodeError) as error:
        msg = f"{path}: not the hour.csv of the Bike Sharing Dataset: {error}"
        raise DataError(msg) from error
    rows = raw[[*CATEGORIES, *NUMBERS]].astype(dict.fromkeys(NUMBERS, "float64"))
    rows.insert(0, "timestamp", days + pd.to_timedelta(raw["hr"], unit="h"))
    rows["high_demand"] = (raw["cnt"] > HIGH).astype("int64")
    return rows.sort_values("timestamp", kind="stable", ignore_index=True)
