"""Read the history for a backtest: a file with the model's columns, or one for its loader."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.adapters.schema_names import missing_columns, missing_columns_message
from homeostat.adapters.source_files import read_table
from homeostat.adapters.tables import open_table
from homeostat.config import ModelConfig, format_duration, parse_duration
from homeostat.config.errors import ConfigError, DataError
from homeostat.core.training_data.categories import as_label
from homeostat.core.training_data.far_times import find_far_times
from homeostat.core.training_data.file_cells import OPEN_DATES
from homeostat.core.training_data.times import read_times
from homeostat.core.values.similar_texts import similar_note
from homeostat.core.values.text_hints import text_hint

if TYPE_CHECKING:
    import pandas as pd

#: First time of a history without times: a Monday.
START = datetime(2001, 1, 1, tzinfo=UTC)
SPACING = timedelta(hours=1)


def read_own_history(config: ModelConfig, spacing: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Return the rows of the model's own source, as :func:`read_history` does.

    Raises
    ------
    HomeostatError
        The source cannot be read, or is the gateway's log alone.
    """
    from homeostat.adapters import open_store
    from homeostat.adapters.configured_source import ConfiguredSource

    own = config.history_only()
    if own.source.kind == "predictions":
        msg = f"{config.name} has no rows but the gateway's log: give --data FILE, or write source.history"
        raise ConfigError(msg)
    if own.source.kind in ("csv", "parquet"):
        uri = own.source.uri or ""
        return read_history(config, uri if "://" in uri else str(config.folder / uri), spacing)
    rows = ConfiguredSource(open_store("memory://")).read(own, None, None)
    if rows.empty:
        msg = f"{config.name}: {own.source.description} gives no rows; --data takes a history with labels"
        raise DataError(msg)
    return rows, []


def read_history(config: ModelConfig, data: Path | str, spacing: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Return rows sorted by time (UTC), and notes on how they were read.

    A file without the model's columns is read by the model's loader, if it has one that reads a file. Without
    a timestamp column the rows keep their order and get times ``spacing`` apart.

    Raises
    ------
    HomeostatError
        The file does not exist, cannot be read, or lacks columns of model.yaml.
    """
    data = str(data)
    try:
        table = open_table(data)
    except DataError as error:
        msg = f"--data: {error}; expected the model's history with labels, a file or folder of CSV or Parquet"
        raise type(error)(msg) from error
    columns = list(table.names)
    missing = missing_columns(config, columns)
    config = config.history_only()  # there is no log to replay
    notes: list[str] = []
    if missing and config.source.kind == "loader":
        rows = _read_with_loader(config, data, columns, missing)
    elif missing:
        raise DataError(missing_columns_message(config, data, columns, missing))
    else:
        rows, notes = _timed(config, read_table(table, config), data, spacing)
        notes += [f"{data}: {rows.attrs[OPEN_DATES]}"] if OPEN_DATES in rows.attrs else []
        notes += [
            f"{data}: {count} of {len(table.files)} files have no column '{name}': missing in their rows"
            for name, count in table.late.items()
            if name in rows
        ]
        notes += table.notes
    if rows.empty:
        msg = f"{data}: no rows; --data takes the model's history with labels"
        raise DataError(msg)
    label = config.columns.label.name
    if rows[label].isna().all():
        msg = f"{data}: column '{label}' is empty in every row; a backtest needs labels to score predictions"
        raise DataError(msg)
    if config.task == "classification":
        classes = as_label(rows[label], config.task, config.columns.label).column.dropna().unique()
        remedy = "write them alike, or map them in schema.label.mapping"
        similar = similar_note((text for text in classes if isinstance(text, str)), remedy)
        notes += [f"{data}: column '{label}': {similar}"] if similar else []
    return rows, notes


def _read_with_loader(
    config: ModelConfig, data: str, columns: Sequence[str], missing: Sequence[str]
) -> pd.DataFrame:
    """Pass the file to the model's loader in the environment variable that demo.yaml names (``data_env``)."""
    from homeostat.adapters import open_store
    from homeostat.adapters.configured_source import ConfiguredSource

    variable = _data_variable(config)
    if not variable:
        msg = (
            f"{missing_columns_message(config, data, columns, missing)}; or, if "
            f"{config.source.loader} reads its file from an environment variable, "
            f"write 'data_env: NAME' into {config.folder / 'demo.yaml'}"
        )
        raise DataError(msg)
    before = os.environ.get(variable)
    os.environ[variable] = data if "://" in data else str(Path(data).resolve())
    try:
        rows = ConfiguredSource(open_store("memory://")).read(config, None, None)
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before
    missing = missing_columns(config, list(map(str, rows.columns)))
    if missing:
        raise DataError(missing_columns_message(config, data, list(map(str, rows.columns)), missing))
    return rows[rows[config.columns.timestamp].notna()].reset_index(drop=True)


def _data_variable(config: ModelConfig) -> str:
    import yaml

    path = config.folder / "demo.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path}: not valid YAML: {error}"
        raise ConfigError(msg) from None
    return str(found.get("data_env") or "") if isinstance(found, dict) else ""


def _timed(
    config: ModelConfig, rows: pd.DataFrame, data: str, spacing: str
) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    name = config.columns.timestamp
    if name not in rows:
        step = _spacing(spacing)
        rows = rows.assign(**{name: pd.Timestamp(START).as_unit("us") + pd.RangeIndex(len(rows)) * step})
        how = "set by --spacing" if spacing else "set --spacing if that is wrong"
        apart = f"{format_duration(step)} apart ({how})"
        file = data.rstrip("/").rpartition("/")[2]
        return rows, [f"{file} has no column '{name}': rows are read in their order, {apart}"]
    if spacing:
        msg = f"--spacing {spacing}: is only for files without times; {data} has times in its column '{name}'"
        raise ConfigError(msg)
    other_cure = "or remove that column to read the rows in their order, --spacing apart"
    times = read_times(rows[name], config, data, other_cure=other_cure)
    bad = times.isna()
    if bad.all() and len(rows):
        cure = text_hint(rows[name].dropna().astype("str").unique()) or "write them like 2026-01-31T14:00Z"
        msg = f"{data}: column '{name}' holds no time, for example {rows[name].iloc[0]!r}: {cure}"
        raise DataError(msg)
    notes = []
    if bad.any():
        at = int(bad.to_numpy().argmax())
        notes.append(
            f"{int(bad.sum())} rows without a readable '{name}' are left out, for example "
            f"{_shown(rows[name].iloc[at])} in row {at + 1}"
        )
    far = find_far_times(times)
    far_off = far.before | far.after
    if far_off.any():
        notes.append(f"{data}: {far.sentence(name, times, far_off)}")
    rows = rows.assign(**{name: times})[~bad & ~far_off].sort_values(name, kind="stable", ignore_index=True)
    return rows, notes


def _shown(value: Any) -> str:
    import pandas as pd

    return "an empty cell" if pd.isna(value) else repr(value)


def _spacing(text: str) -> timedelta:
    if not text:
        return SPACING
    try:
        step = parse_duration(text)
    except ValueError as error:
        msg = f"--spacing {error}"
        raise ConfigError(msg) from None
    if not step:
        msg = f"--spacing {text!r}: the distance must be positive, such as 30m"
        raise ConfigError(msg)
    return step
