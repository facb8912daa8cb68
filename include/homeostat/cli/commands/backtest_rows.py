"""The history that a backtest replays: the model's own columns, or the raw file that its loader reads."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from homeostat.config import ModelConfig, format_duration, parse_duration
from homeostat.config.errors import ConfigError, DataError, NotFound

if TYPE_CHECKING:
    import pandas as pd

#: When a history without times begins: a Monday.
BEGIN = datetime(2001, 1, 1, tzinfo=UTC)
SPACING = timedelta(hours=1)


def read_history(config: ModelConfig, data: Path, spacing: str = "") -> tuple[pd.DataFrame, list[str]]:
    """Rows sorted by time (UTC), and what a person should know about how they were read.

    A file with the model's columns is taken as it is; one without them goes through the model's loader,
    where it has one that reads a file. Without a timestamp column rows keep their order, ``spacing`` apart.

    Raises
    ------
    HomeostatError
        The file is not there, cannot be read, or lacks what model.yaml names.
    """
    if not data.exists():
        msg = f"{data}: no such file; --data takes the model's history with labels, csv or parquet"
        raise NotFound(msg)
    columns = _columns(data)
    missing = _missing(config, columns)
    notes: list[str] = []
    if missing and config.source.kind == "loader":
        rows = _through_loader(config, data, columns, missing)
    elif missing:
        raise DataError(_lacks(config, data, columns, missing))
    else:
        rows, notes = _timed(config, _read(config, data), data, spacing)
    if rows.empty:
        msg = f"{data}: no rows; --data takes the model's history with labels, from its first day on"
        raise DataError(msg)
    label = config.columns.label.name
    if rows[label].isna().all():
        msg = f"{data}: column '{label}' is empty in every row, and without labels there is nothing to score"
        raise DataError(msg)
    return rows, notes


def _columns(data: Path) -> list[str]:
    import pandas as pd

    with _readable(data):
        if _is_parquet(data):
            import pyarrow.dataset as ds

            return [str(name) for name in ds.dataset(data, format="parquet").schema.names]
        return [str(name) for name in pd.read_csv(data, nrows=0).columns]


def _read(config: ModelConfig, data: Path) -> pd.DataFrame:
    import pandas as pd

    from homeostat.adapters.source_rows import schema_columns, text_columns

    wanted = schema_columns(config)
    with _readable(data):
        if _is_parquet(data):
            rows = pd.read_parquet(data)
            return rows[[name for name in wanted if name in rows.columns]]
        types: Any = dict.fromkeys(text_columns(config), "str")
        return pd.read_csv(data, usecols=lambda name: name in wanted, dtype=types, low_memory=False)


@contextmanager
def _readable(data: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:  # pandas' and Arrow's own errors are ValueErrors
        what = "parquet" if _is_parquet(data) else "csv"
        msg = f"{data}: cannot be read as {what}: {str(error).strip()}"
        raise DataError(msg) from error


def _is_parquet(data: Path) -> bool:
    return data.suffix in (".parquet", ".pq") or data.is_dir()


def _missing(config: ModelConfig, columns: Sequence[str]) -> list[str]:
    features = config.columns.features
    needed = [config.columns.label.name, *(name for name, feature in features.items() if feature.required)]
    return [name for name in needed if name not in columns]


def _lacks(config: ModelConfig, data: Path, columns: Sequence[str], missing: Sequence[str]) -> str:
    from homeostat.adapters.source_rows import schema_columns

    label = config.columns.label.name
    strangers = [name for name in columns if name not in schema_columns(config)]
    named = []
    for name in missing:
        near = difflib.get_close_matches(name, strangers, n=1, cutoff=0.6)
        role = "the label " if name == label else ""
        named.append(f"{role}'{name}'" + (f" (is it '{near[0]}' here?)" if near else ""))
    there = ", ".join(columns[:20]) + (" ..." if len(columns) > 20 else "")
    return (
        f"{data}: has no column {', '.join(named)}, which {config.folder / 'model.yaml'} names under schema; "
        f"its columns are: {there}. Rename them in the file, or change schema"
    )


def _through_loader(
    config: ModelConfig, data: Path, columns: Sequence[str], missing: Sequence[str]
) -> pd.DataFrame:
    """Hand the raw file to the model's loader by the variable that its demo.yaml names."""
    from homeostat.adapters import open_store
    from homeostat.adapters.source import ConfiguredSource

    variable = _data_variable(config)
    if not variable:
        msg = (
            f"{_lacks(config, data, columns, missing)}; or, if {config.source.loader} reads such a file from "
            f"where an environment variable says, write 'data_env: NAME' into {config.folder / 'demo.yaml'}"
        )
        raise DataError(msg)
    before = os.environ.get(variable)
    os.environ[variable] = str(data.resolve())
    try:
        rows = ConfiguredSource(open_store("memory://")).read(config, None, None)
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before
    lacking = _missing(config, list(map(str, rows.columns)))
    if lacking:
        raise DataError(_lacks(config, data, list(map(str, rows.columns)), lacking))
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
    config: ModelConfig, rows: pd.DataFrame, data: Path, spacing: str
) -> tuple[pd.DataFrame, list[str]]:
    import pandas as pd

    name = config.columns.timestamp
    if name not in rows:
        step = _spacing(spacing)
        rows = rows.assign(**{name: pd.Timestamp(BEGIN).as_unit("us") + pd.RangeIndex(len(rows)) * step})
        how = "as --spacing says" if spacing else "say --spacing 30m if they are not"
        apart = f"{format_duration(step)} apart ({how})"
        return rows, [f"{data.name} has no column '{name}': rows are taken in their order, {apart}"]
    if spacing:
        msg = f"--spacing {spacing}: is for files without times, and {data} has them in its column '{name}'"
        raise ConfigError(msg)
    if pd.api.types.is_numeric_dtype(rows[name]) and len(rows):
        msg = (
            f"{data}: column '{name}' holds numbers, expected times such as 2026-01-31T14:00:00Z; "
            "without that column rows are taken in their order, --spacing apart"
        )
        raise DataError(msg)
    times = pd.to_datetime(rows[name], utc=True, errors="coerce", format="ISO8601")
    bad = times.isna()
    if bad.all() and len(rows):
        example = repr(rows[name].iloc[0])
        msg = (
            f"{data}: column '{name}' holds no time, for example {example}: write them like 2026-01-31T14:00Z"
        )
        raise DataError(msg)
    rows = rows.assign(**{name: times})[~bad].sort_values(name, kind="stable", ignore_index=True)
    return rows, [f"{int(bad.sum())} rows without a readable '{name}' are left out"] if bad.any() else []


def _spacing(text: str) -> timedelta:
    if not text:
        return SPACING
    try:
        step = parse_duration(text)
    except ValueError as error:
        msg = f"--spacing {error}"
        raise ConfigError(msg) from None
    if not step:
        msg = f"--spacing {text!r}: rows need some distance, such as 30m"
        raise ConfigError(msg)
    return step
