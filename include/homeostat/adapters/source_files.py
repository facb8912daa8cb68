"""Read the rows of a source that is a file or a folder, on disk or in S3."""

from __future__ import annotations

from datetime import datetime

import pandas as pd

from homeostat.adapters.csv_values import number_values
from homeostat.adapters.schema_names import missing_columns, missing_columns_message
from homeostat.adapters.source_rows import config_location, expand_variables, schema_columns
from homeostat.adapters.table_location import FileKind
from homeostat.adapters.table_rows import FILE_ROWS, read_frame
from homeostat.adapters.tables import TEXT, Table, open_table
from homeostat.adapters.tables_parquet import TimeRange
from homeostat.config import ModelConfig
from homeostat.config.errors import ConfigError, DataError
from homeostat.core.training_data.file_cells import (
    FILE_NOTES,
    OPEN_DATES,
    OTHER_COLUMNS,
    even_dates,
    even_numbers,
)


def read_files(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """Read the schema's columns from every file of ``source.uri``, in file-name order.

    What a file is, its content and suffix say; of a folder with CSV and Parquet, ``source.kind`` chooses.
    Row groups of Parquet without rows in ``[start, end)`` are not read.

    Raises
    ------
    DataError
        No such file, or one that cannot be read or has no timestamp; the message names model.yaml and
        ``source.uri``.
    """
    where = config_location(config, f"{config.source.key}.uri")
    uri = expand_variables(config, config.source.uri or "")
    kind: FileKind = "parquet" if config.source.kind == "parquet" else "csv"
    try:
        table = open_table(uri, base=config.folder, kind=kind)
        _require_timestamp(config, uri, table)
        return read_table(table, config, TimeRange(config.columns.timestamp, start, end))
    except (ConfigError, DataError) as error:
        msg = f"{where}: {error}"
        raise type(error)(msg) from error


def _require_timestamp(config: ModelConfig, uri: str, table: Table) -> None:
    """Raise DataError for a table without times; the message names the other missing columns, too."""
    name = config.columns.timestamp
    if name not in table.names:
        missing = [name, *missing_columns(config, table.names)]
        raise DataError(missing_columns_message(config, uri, table.names, missing))


def read_table(table: Table, config: ModelConfig, between: TimeRange | None = None) -> pd.DataFrame:
    """Read the schema's columns that a table has; CSV is text, apart from what is plainly a number.

    ``attrs`` has the table's notes under :data:`FILE_NOTES`, if there are any. Files that spell
    numbers, or order dates, differently are read one by one.

    Raises
    ------
    DataError
        A file cannot be read, or nothing tells how the numbers or dates of its files are spelled.
    """
    rows = read_frame(table, [name for name in schema_columns(config) if name in table.types], between)
    files = rows.attrs.pop(FILE_ROWS)
    rows.attrs[OTHER_COLUMNS] = [name for name in table.names if name not in rows]
    if table.notes:
        rows.attrs[FILE_NOTES] = table.notes
    numbers = [name for name, feature in config.columns.features.items() if feature.type == "number"]
    if config.task == "regression":
        numbers.append(config.columns.label.name)
    for name in numbers:
        if table.types.get(name) == TEXT:
            rows[name] = number_values(rows[name])
            if len(files) > 1 and isinstance(rows[name].dtype, pd.StringDtype):
                rows[name] = even_numbers(rows[name], files)
    name = config.columns.timestamp
    if len(files) > 1 and table.types.get(name) == TEXT:
        rows[name], note = even_dates(rows[name], files, config.columns.timestamp_format or "")
        rows.attrs |= {OPEN_DATES: note} if note else {}
    return rows
