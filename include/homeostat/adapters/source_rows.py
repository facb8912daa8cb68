"""Column selection, time window and order, shared by all sources."""

from __future__ import annotations

import os
import re
from datetime import datetime

import numpy as np
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError
from homeostat.config.near_name import near_name
from homeostat.core.training_data.far_times import FAR_TIMES, find_far_times
from homeostat.core.training_data.times import read_times

_VARIABLE = re.compile(r"\$\{(\w+)\}")


def config_location(config: ModelConfig, key: str) -> str:
    """Return "file, key" for an error message."""
    return f"{config.folder / 'model.yaml'}, {key}"


def expand_variables(config: ModelConfig, text: str) -> str:
    """Replace every ``${NAME}`` in ``source.uri`` by the environment variable.

    Raises
    ------
    ConfigError
        A variable is not set. Values never appear in messages.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            where = config_location(config, f"{config.source.key}.uri")
            msg = f"{where}: the environment variable {match[1]} is not set; export {match[1]}=..."
            raise ConfigError(msg)
        return os.environ[match[1]]

    return _VARIABLE.sub(value, text)


def schema_columns(config: ModelConfig) -> list[str]:
    """Return the columns of the schema without duplicates: timestamp, key, features, label."""
    columns = config.columns
    key = [columns.key] if columns.key else []
    return list(dict.fromkeys([columns.timestamp, *key, *config.feature_names, columns.label.name]))


def select_window(
    rows: pd.DataFrame, config: ModelConfig, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """Keep the schema's columns and the rows of ``[start, end)``, sorted by time in UTC.

    Without a start, rows far before all others are left out, without an end those far after: ``attrs`` has
    the sentence that says so under :data:`FAR_TIMES`, also for such rows before the start or after the end.

    Raises
    ------
    DataError
        The timestamp column is missing, or its times cannot be read.
    """
    name = config.columns.timestamp
    where = config_location(config, "schema.timestamp")
    if name not in rows.columns:
        found = ", ".join(map(str, rows.columns[:20])) or "none"
        near = near_name(name, map(str, rows.columns))
        hint = f" (is it '{near}' here?)" if near else ""
        msg = f"{where}: the source has no column '{name}'{hint}; its columns are: {found}"
        raise DataError(msg)
    rows = rows[[column for column in schema_columns(config) if column in rows.columns]].copy()
    times = read_times(rows[name], config, where)
    rows[name] = times
    far = find_far_times(times)
    left_out = (far.before & (start is None)) | (far.after & (end is None))
    told = left_out | _outside(times, far.before | far.after, start, end)
    # A row without a readable time goes into the window of its neighbour.
    position = times.mask(far.before | far.after).ffill().bfill().where(times.isna(), times)
    keep = ~left_out
    if start is not None:
        keep &= (position >= start).to_numpy()
    if end is not None:
        keep &= (position < end).to_numpy()
    order = position[keep].sort_values(kind="stable").index
    selected = rows.loc[order].reset_index(drop=True)  # pandas keeps the attrs
    if told.any():
        selected.attrs[FAR_TIMES] = far.sentence(name, times, told)
    return selected


def _outside(times: pd.Series, mask: np.ndarray, start: datetime | None, end: datetime | None) -> np.ndarray:
    """Return which rows of the mask are not in ``[start, end)``, whether they were asked for or not."""
    inside = np.ones(len(times), dtype=bool)
    if start is not None:
        inside &= (times >= start).to_numpy()
    if end is not None:
        inside &= (times < end).to_numpy()
    return mask & ~inside
