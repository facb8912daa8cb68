"""Read CSV and Parquet from a file, a folder or S3."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

import pandas as pd

from homeostat.adapters.source_rows import config_location, expand_variables, schema_columns, text_columns
from homeostat.config import ModelConfig
from homeostat.config.errors import DataError, NotFound
from homeostat.config.times import utc


def read_files(config: ModelConfig, start: datetime | None, end: datetime | None) -> pd.DataFrame:
    """Read the schema's columns from every file of ``source.uri``, in file-name order.

    Raises
    ------
    DataError
        No such file, or one that cannot be read as ``source.kind``.
    """
    where = config_location(config, f"{config.source.key}.uri")
    frames = []
    for name, file in _files(config, where):
        try:
            with file:
                if config.source.kind == "csv":
                    frames.append(_read_csv(file, config))
                else:
                    frames.append(_read_parquet(file, config, start, end))
        except (ValueError, OSError) as error:  # pandas' and Arrow's own errors are ValueErrors
            msg = f"{where}: {name} cannot be read as {config.source.kind}: {error}"
            raise DataError(msg) from error
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _read_csv(file: IO[bytes], config: ModelConfig) -> pd.DataFrame:
    wanted = set(schema_columns(config))
    types = dict.fromkeys(text_columns(config), "str")
    return pd.read_csv(file, usecols=lambda name: name in wanted, dtype=types, low_memory=False)


def _read_parquet(
    file: IO[bytes], config: ModelConfig, start: datetime | None, end: datetime | None
) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    parquet = pq.ParquetFile(file)
    schema = parquet.schema_arrow
    columns = [name for name in schema_columns(config) if name in schema.names]
    time = config.columns.timestamp
    groups = list(range(parquet.num_row_groups))
    if time in schema.names and pa.types.is_timestamp(schema.field(time).type):
        groups = [i for i in groups if _touches(parquet, i, time, start, end)]
    frame: pd.DataFrame = parquet.read_row_groups(groups, columns=columns).to_pandas()
    return frame


def _touches(parquet: Any, group: int, time: str, start: datetime | None, end: datetime | None) -> bool:
    """Whether a row group may hold rows of ``[start, end)``, from its statistics."""
    meta = parquet.metadata.row_group(group)
    column = next(
        (meta.column(i) for i in range(meta.num_columns) if meta.column(i).path_in_schema == time), None
    )
    statistics = column.statistics if column is not None else None
    if statistics is None or not statistics.has_min_max:
        return True
    first, last = utc(statistics.min), utc(statistics.max)
    return (start is None or last >= start) and (end is None or first < end)


def _files(config: ModelConfig, where: str) -> Iterator[tuple[str, IO[bytes]]]:
    uri = expand_variables(config, config.source.uri or "")
    suffix = "." + config.source.kind
    parts = urlsplit(uri)
    if parts.scheme == "s3":
        yield from _s3_files(uri, suffix, where)
        return
    path = Path(unquote(parts.path)) if parts.scheme == "file" else config.folder / Path(uri).expanduser()
    paths = sorted(_visible(path, suffix)) if path.is_dir() else [path]
    if not paths or not paths[0].exists():
        problem = f"holds no {suffix} file" if path.is_dir() else "does not exist"
        msg = f"{where}: {path} {problem}; write an absolute path, or one relative to {config.folder}"
        raise DataError(msg)
    for each in paths:
        yield str(each), each.open("rb")


def _visible(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the data files below a folder, without the dot and underscore files that engines write."""
    for path in folder.rglob(f"*{suffix}"):
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts):
            yield path


def _s3_files(uri: str, suffix: str, where: str) -> Iterator[tuple[str, IO[bytes]]]:
    from homeostat.adapters.store_s3 import S3Store

    parts = urlsplit(uri)
    store, key = S3Store(parts.netloc), unquote(parts.path).strip("/")
    below = [name for name in store.list(key) if name.endswith(suffix)]
    try:
        for name in below or [key]:
            yield f"s3://{parts.netloc}/{name}", io.BytesIO(store.get(name))
    except NotFound:
        msg = f"{where}: {uri} does not exist, neither as a file nor as a folder of {suffix} files"
        raise DataError(msg) from None
