"""Column selection, time window and order, shared by all sources."""

from __future__ import annotations

import os
import re
from datetime import datetime

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError

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


def text_columns(config: ModelConfig) -> list[str]:
    """Return the columns read as text even when they hold digits: categories and the key."""
    named = [name for name, feature in config.columns.features.items() if feature.type == "category"]
    return named + [name for name in [config.columns.key] if name and name not in config.columns.features]


def select_window(
    rows: pd.DataFrame, config: ModelConfig, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    """Keep the schema's columns and the rows of ``[start, end)``, sorted by time in UTC.

    Raises
    ------
    DataError
        The timestamp column is missing, or holds numbers (their unit is unknown).
    """
    name = config.columns.timestamp
    where = config_location(config, "schema.timestamp")
    if name not in rows.columns:
        found = ", ".join(map(str, rows.columns[:20])) or "none"
        msg = f"{where}: the source has no column '{name}'; its columns are: {found}"
        raise DataError(msg)
    rows = rows[[column for column in schema_columns(config) if column in rows.columns]].copy()
    if pd.api.types.is_numeric_dtype(rows[name]) and len(rows):
        msg = f"{where}: column '{name}' holds numbers, expected times such as 2026-01-31T14:00:00Z"
        raise DataError(msg)
    times = pd.to_datetime(rows[name], utc=True, errors="coerce", format="ISO8601")
    rows[name] = times
    # A row without a readable time goes into the window of its neighbour.
    position = times.ffill().bfill()
    if start is not None:
        rows = rows[(position >= start).loc[rows.index]]
    if end is not None:
        rows = rows[(position < end).loc[rows.index]]
    order = position.loc[rows.index].sort_values(kind="stable").index
    return rows.loc[order].reset_index(drop=True)
