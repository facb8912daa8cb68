"""The prediction log and the labels: Parquet by event date and hour, written by gateways, read by checks.

    log/<model>/predictions/date=2026-01-05/hour=07/<gateway>-<sequence>.parquet
    log/<model>/labels/date=2026-01-05/hour=09/<gateway>-<sequence>.parquet

A prediction is filed under the time of the row that was scored, a label under the time at which it became
known. Feature columns carry the prefix ``x.``, so no feature can be confused with a column of the log itself.

Whoever looks for what was received lately would have to list every hour there is. So files whose rows were
received :data:`BACKDATED` or more after their hour, as in replayed traffic, are also named in

    log/<model>/predictions_received/date=2026-03-01/hour=10/<gateway>-<sequence>.json
    log/<model>/labels_received/date=2026-03-01/hour=10/<gateway>-<sequence>.json

by the hour of receipt: ``{"received": <the last receipt in ISO 8601>, "files": [<key>, ...]}``.
"""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from homeostat.config import ModelConfig
from homeostat.config.errors import NotFound, Unavailable
from homeostat.config.label_text import received_text
from homeostat.ports import Store
from homeostat.storage.parallel_map import parallel_map

logger = logging.getLogger(__name__)

FEATURE = "x."
#: From this age at their receipt on, rows are also found by the time of receipt.
BACKDATED = timedelta(days=1)
#: Variants whose predictions went to clients; those of ``shadow`` did not.
SERVED = ("champion", "control", "candidate")
_RECEIVED = "_received"
#: Files whose bytes are in memory at the same time.
_BATCH = 64
#: Of more days than this the whole log is listed at once.
_MANY_DAYS = 1000
#: How far back to look for the newest traffic, in days.
_RECENT_DAYS = 31
_TIME = pa.timestamp("us", tz="UTC")
_OWN_COLUMNS = {
    "prediction_id": pa.string(),
    "request_id": pa.string(),
    "at": _TIME,
    "received_at": _TIME,
    "version": pa.string(),
    "variant": pa.string(),
    "rollout": pa.string(),
    "key": pa.string(),
    "extra": pa.string(),
    "confidence": pa.float64(),
    "latency_ms": pa.float64(),
    "error": pa.string(),
}


class FilesJoined(Unavailable):
    """A file that was listed is gone: :mod:`homeostat.storage.log_joining` put its rows into another one."""


@dataclass(frozen=True, slots=True)
class LogRead:
    """Rows of the log, the files that were read, and those that cannot be read (cut off by a crash)."""

    rows: pd.DataFrame
    files: tuple[str, ...]
    unreadable: tuple[str, ...]


def prediction_schema(config: ModelConfig) -> pa.Schema:
    """Return the columns of a model's prediction log.

    ``extra`` names the request's columns that model.yaml does not know, sorted and joined by commas;
    ``prediction`` is text for classes, a number for regression. Classes and categories are texts as they
    were received (see :func:`~homeostat.config.label_text.received_text`): readers spell them.
    """
    features = [
        (FEATURE + name, pa.float64() if feature.type == "number" else pa.string())
        for name, feature in config.columns.features.items()
    ]
    return pa.schema([*_OWN_COLUMNS.items(), ("prediction", _prediction_type(config)), *features])


def label_schema(config: ModelConfig) -> pa.Schema:
    """Return the columns of a model's label log."""
    return pa.schema(
        [
            ("prediction_id", pa.string()),
            ("label", _prediction_type(config)),
            ("at", _TIME),
            ("received_at", _TIME),
        ]
    )


def _prediction_type(config: ModelConfig) -> pa.DataType:
    return pa.string() if config.task == "classification" else pa.float64()


def write_predictions(
    store: Store, config: ModelConfig, gateway: str, sequence: int, columns: Mapping[str, Sequence[Any]]
) -> list[str]:
    """Write served rows by the hour of their ``at``, one Parquet file per hour; return the keys.

    Parameters
    ----------
    columns
        Columns of equal length by name, as in :func:`prediction_schema`. A column that is missing is null.
        ``gateway`` and ``sequence`` together must never be used twice.
    """
    return _write(store, config, "predictions", gateway, sequence, columns)


def write_labels(
    store: Store, config: ModelConfig, gateway: str, sequence: int, columns: Mapping[str, Sequence[Any]]
) -> list[str]:
    """Write labels by the hour of their ``at``; the rest as :func:`write_predictions`."""
    return _write(store, config, "labels", gateway, sequence, columns)


def _write(
    store: Store,
    config: ModelConfig,
    kind: str,
    gateway: str,
    sequence: int,
    columns: Mapping[str, Sequence[Any]],
) -> list[str]:
    by_hour: dict[datetime, list[int]] = {}
    for row, at in enumerate(columns["at"]):
        by_hour.setdefault(_hour(at), []).append(row)
    keys, backdated = [], []
    received = columns.get("received_at", columns["at"])
    schema = label_schema(config) if kind == "labels" else prediction_schema(config)
    output = "label" if kind == "labels" else "prediction"
    for hour, rows in sorted(by_hour.items()):
        arrays = []
        for field in schema:
            values = columns.get(field.name)
            picked = [None] * len(rows) if values is None else [values[row] for row in rows]
            if field.name == output and pa.types.is_string(field.type):
                picked = list(map(received_text, picked))
            arrays.append(pa.array(picked, type=field.type, from_pandas=True))
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
        key = f"{_folder(config.name, kind, hour)}{gateway}-{sequence:08d}.parquet"
        store.put(key, buffer.getvalue())
        keys.append(key)
        if max(received[row] for row in rows) - hour >= BACKDATED:
            backdated.append(key)
    if backdated:  # last: whoever finds a name must find the file
        folder = _folder(config.name, received_log(kind), _hour(max(received)))
        index = {"received": max(received).isoformat(), "files": backdated}
        store.put(f"{folder}{gateway}-{sequence:08d}.json", json.dumps(index).encode())
    return keys


def backdated_files(index: bytes, since: datetime) -> list[str]:
    """Return the keys in a file of ``predictions_received`` or ``labels_received``.

    None when all of their rows were received before ``since``. Former releases wrote the list of keys alone.
    """
    content = json.loads(index)
    if isinstance(content, dict):
        content = content["files"] if datetime.fromisoformat(content["received"]) >= since else []
    return [str(key) for key in content]


def received_log(kind: str) -> str:
    """Return the log that names backdated files by the hour of receipt: ``predictions_received``."""
    return f"{kind}{_RECEIVED}"


def files_by_hour(
    store: Store, model: str, kind: str, start: datetime, end: datetime
) -> dict[datetime, tuple[str, ...]]:
    """Return the keys of the files whose hour overlaps ``[start, end)``, by hour; lists each day once."""
    first, last = _hour(start), end
    found: dict[datetime, list[str]] = {}
    for prefix in _prefixes(f"log/{model}/{kind}/", start, end):
        keys = store.list(prefix)
        for folder, inside in groupby(keys, key=lambda key: key.rpartition("/")[0]):
            hour = _hour_of(folder)
            if hour is not None and first <= hour < last:
                found.setdefault(hour, []).extend(inside)
    return {hour: tuple(sorted(keys)) for hour, keys in sorted(found.items())}


def files_in_hour(store: Store, model: str, kind: str, hour: datetime) -> list[str]:
    """Return the keys of the files of one hour, in order."""
    return store.list(_folder(model, kind, _hour(hour)))


def newest_traffic(store: Store, model: str, before: datetime) -> datetime | None:
    """Return the start of the newest hour with predictions that began before; None: none in 31 days."""
    for days in range(_RECENT_DAYS):
        day = (before - timedelta(days=days)).astimezone(UTC).date()
        keys = store.list(f"log/{model}/predictions/date={day.isoformat()}/")
        hours = [hour for hour in map(_hour_of, {key.rpartition("/")[0] for key in keys}) if hour]
        newest = max((hour for hour in hours if hour < before), default=None)
        if newest is not None:
            return newest
    return None


def files_between(store: Store, model: str, kind: str, start: datetime, end: datetime) -> tuple[str, ...]:
    """Return the keys of the files whose hour overlaps ``[start, end)``, in order."""
    return files_of(files_by_hour(store, model, kind, start, end), start, end)


def files_of(hours: Mapping[datetime, tuple[str, ...]], start: datetime, end: datetime) -> tuple[str, ...]:
    """Return those of :func:`files_by_hour` whose hour overlaps ``[start, end)``, in order."""
    first = _hour(start)
    return tuple(key for hour in sorted(hours) if first <= hour < end for key in hours[hour])


def read_predictions(
    store: Store,
    config: ModelConfig,
    start: datetime,
    end: datetime,
    *,
    variants: Iterable[str] = SERVED,
    files: Sequence[str] | None = None,
) -> LogRead:
    """Read the predictions of rows with ``start <= at < end``, each once, oldest first.

    Features get their own names, without the prefix; the log's own columns get a leading underscore.
    ``files`` are the keys to read, for a caller that has listed them already.
    """
    schema = prediction_schema(config)
    if files is None:
        read = _list_and_read(store, config.name, "predictions", schema, start, end)
    else:
        read = _read(store, files, schema, start, end)
    rows = read.rows[read.rows["variant"].isin(list(variants))]
    rows = rows.drop_duplicates(["prediction_id", "variant"]).reset_index(drop=True)
    rows.columns = [
        name.removeprefix(FEATURE) if name.startswith(FEATURE) else f"_{name}" for name in rows.columns
    ]
    return LogRead(rows, read.files, read.unreadable)


def read_prediction_ids(
    store: Store, model: str, hour: datetime, *, max_files: int
) -> tuple[set[str], int] | None:
    """Return the ids of all rows logged for this hour, of every variant, and the number of files.

    None when that cannot be known: there are more than ``max_files`` files, or one cannot be read.
    """
    keys = store.list(_folder(model, "predictions", _hour(hour)))
    if len(keys) > max_files:
        return None
    ids: set[str] = set()
    for batch in (keys[n : n + _BATCH] for n in range(0, len(keys), _BATCH)):
        for data in _get_all(store, batch):
            try:
                column = pq.read_table(io.BytesIO(data), columns=["prediction_id"]).column(0)
            except (pa.ArrowInvalid, OSError):
                return None
            ids.update(column.to_pylist())
    return ids, len(keys)


def read_labels(store: Store, config: ModelConfig, start: datetime, end: datetime) -> pd.DataFrame:
    """Read the labels that became known in ``[start, end)``, the first of each prediction id.

    Later labels of the same id are dropped. The gateway has quarantined those that differ. Labels that were
    stored before ``schema.label.mapping`` had their spelling become classes here.
    """
    rows = _list_and_read(store, config.name, "labels", label_schema(config), start, end).rows
    if config.columns.label.mapping:
        rows["label"] = [config.columns.label.to_class(label) for label in rows["label"]]
    return rows.sort_values(["received_at", "at"], kind="stable").drop_duplicates("prediction_id")


def _list_and_read(
    store: Store, model: str, kind: str, schema: pa.Schema, start: datetime, end: datetime
) -> LogRead:
    try:
        return _read(store, files_between(store, model, kind, start, end), schema, start, end)
    except FilesJoined:
        return _read(store, files_between(store, model, kind, start, end), schema, start, end)


def _get_all(store: Store, keys: Sequence[str]) -> list[bytes]:
    try:
        return parallel_map(store.get, keys)
    except NotFound as error:
        msg = f"{error}: its rows were joined with those of other files while the log was read; try again"
        raise FilesJoined(msg) from None


def _read(store: Store, keys: Sequence[str], schema: pa.Schema, start: datetime, end: datetime) -> LogRead:
    tables, unreadable = [], []
    for batch in (keys[n : n + _BATCH] for n in range(0, len(keys), _BATCH)):
        for key, data in zip(batch, _get_all(store, batch), strict=True):
            try:
                table = pq.read_table(io.BytesIO(data))
            except (pa.ArrowInvalid, OSError) as error:
                logger.warning("skipping %s, which cannot be read: %s", key, error)
                unreadable.append(key)
                continue
            tables.append(_to_schema(table, schema))
    table = pa.concat_tables(tables) if tables else schema.empty_table()
    at = table.column("at")
    inside = pc.and_(pc.greater_equal(at, pa.scalar(start, _TIME)), pc.less(at, pa.scalar(end, _TIME)))
    rows = table.filter(inside).sort_by("at").to_pandas()
    return LogRead(rows, tuple(keys), tuple(unreadable))


def _to_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Convert an older file to the current columns: missing ones are null, unknown ones are dropped."""
    columns = [
        table.column(field.name).cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _folder(model: str, kind: str, hour: datetime) -> str:
    return f"log/{model}/{kind}/date={hour.date().isoformat()}/hour={hour:%H}/"


def _hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _hour_of(key: str) -> datetime | None:
    parts = dict(part.split("=", 1) for part in key.split("/") if "=" in part)
    try:
        return datetime.fromisoformat(f"{parts['date']}T{parts['hour']}:00:00+00:00")
    except (KeyError, ValueError):
        return None


def _prefixes(log: str, start: datetime, end: datetime) -> list[str]:
    """Return the folders of the days of ``[start, end)``; the whole log where these are very many."""
    first = _hour(start).date()
    days = max(0, (end.astimezone(UTC).date() - first).days) + 1
    if days > _MANY_DAYS:  # an expanding window, and a row of the year 1
        return [log]
    return [f"{log}date={first + timedelta(days=day)}/" for day in range(days)]
