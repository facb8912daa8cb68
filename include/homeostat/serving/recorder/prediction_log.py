"""The gateway's part of the prediction log: each served row is logged once, or counted as lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from homeostat.config import ModelConfig
from homeostat.ports import Store
from homeostat.serving.recorder.upload import LogSpec, served_config
from homeostat.serving.scoring_request import Rows
from homeostat.storage.prediction_log import FEATURE, write_predictions


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One version's predictions for the rows of one request, as they are logged."""

    request_id: str
    ids: Sequence[str]
    received_at: datetime
    version: str
    variant: str
    rollout: str
    rows: Rows
    predictions: Sequence[Any]
    confidence: Sequence[float | None] | None
    latency_ms: float
    error: str = ""
    traceparent: str = ""  # of a sampled request; not logged


def prediction_ids(request_id: str, count: int) -> list[str]:
    """Return the request's own id for a single row, ``<request_id>-<i>`` for row i of several."""
    return [request_id] if count == 1 else [f"{request_id}-{i}" for i in range(count)]


def prediction_log_spec(store: Store, models: Mapping[str, ModelConfig]) -> LogSpec[ServedRequest]:
    """Describe the prediction log to a spool."""

    def packed(model: str, entries: Sequence[ServedRequest]) -> Mapping[str, Any]:
        return pack(models[model], entries)

    def write(gateway: str, model: str, sequence: int, parts: Sequence[Mapping[str, Any]]) -> object:
        return write_predictions(store, served_config(models, model), gateway, sequence, unpack(parts))

    return LogSpec("prediction log", "predictions", packed, write)


# Packing. Journals of release 0.1 hold the same columns: a column that is added must be optional in unpack.

#: Columns with one value per request; all others have one value per row.
_PER_REQUEST: dict[str, Callable[[ServedRequest], Any]] = {
    "request_id": lambda e: e.request_id,
    "received_at": lambda e: e.received_at,
    "version": lambda e: e.version,
    "variant": lambda e: e.variant,
    "rollout": lambda e: e.rollout or None,
    "extra": lambda e: ",".join(e.rows.extra) or None,
    "latency_ms": lambda e: e.latency_ms,
    "error": lambda e: e.error or None,
}
#: Keys of a packed part that are not columns: rows per request, and the columns that hold infinities as text.
_ROWS, _INFINITE = "rows", "infinite"
_INFINITIES = {float("inf"), float("-inf")}


def pack(config: ModelConfig, entries: Sequence[ServedRequest]) -> dict[str, Any]:
    """Return requests as JSON columns for the journal; :func:`unpack` reads them."""
    columns = _request_columns(entries) | _row_columns(config, entries)
    columns[_INFINITE] = _infinities_to_text(config, columns)
    return columns


def _request_columns(entries: Sequence[ServedRequest]) -> dict[str, Any]:
    columns: dict[str, Any] = {name: [value(e) for e in entries] for name, value in _PER_REQUEST.items()}
    columns[_ROWS] = [e.rows.count for e in entries]
    return columns


def _row_columns(config: ModelConfig, entries: Sequence[ServedRequest]) -> dict[str, Any]:
    requests = [e.rows for e in entries]
    columns: dict[str, Any] = {
        "prediction_id": [i for e in entries for i in e.ids],
        "prediction": [p for e in entries for p in e.predictions],
        "confidence": [c for e in entries for c in (e.confidence or [None] * e.rows.count)],
        "at": _optional_column(requests, [rows.times for rows in requests]),
        "key": _optional_column(requests, [rows.keys for rows in requests]),
    }
    for index, name in enumerate(config.feature_names):
        columns[FEATURE + name] = list(chain.from_iterable([rows.as_received(index) for rows in requests]))
    return columns


def _optional_column(requests: Sequence[Rows], values: Sequence[list[Any] | None]) -> list[Any] | None:
    """Return one value per row, or None when no request has this column."""
    if not any(values):
        return None
    return [
        value
        for rows, column in zip(requests, values, strict=True)
        for value in (column or [None] * rows.count)
    ]


def _infinities_to_text(config: ModelConfig, columns: dict[str, Any]) -> list[str]:
    """Replace infinities, which JSON cannot express, by text; return the names of the columns changed."""
    features = config.columns.features.items()
    numbers = [FEATURE + name for name, feature in features if feature.type == "number"]
    changed = [name for name in ("prediction", *numbers) if _INFINITIES & set(columns[name])]
    for name in changed:
        columns[name] = [str(v) if v in _INFINITIES else v for v in columns[name]]
    return changed


# Unpacking


def unpack(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return packed parts as columns of :func:`homeostat.storage.prediction_log.prediction_schema`."""
    names = [name for name in dict.fromkeys(chain.from_iterable(parts)) if name not in (_ROWS, _INFINITE)]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for part in parts:
        for name in names:
            columns[name].extend(_unpack_column(part, name))
    columns["received_at"] = [datetime.fromisoformat(at) for at in columns["received_at"]]
    columns["at"] = [
        received if at is None else datetime.fromisoformat(at)
        for at, received in zip(columns["at"], columns["received_at"], strict=True)
    ]
    return columns


def _unpack_column(part: Mapping[str, Any], name: str) -> list[Any]:
    """Return one value per row; None where the part does not have the column."""
    counts = part[_ROWS]
    rows = sum(counts)
    per_request = name in _PER_REQUEST
    values: list[Any] = part.get(name) or [None] * (len(counts) if per_request else rows)
    if name in part[_INFINITE]:
        values = [float(v) if isinstance(v, str) else v for v in values]
    if per_request and rows != len(counts):
        values = [v for v, count in zip(values, counts, strict=True) for _ in range(count)]
    return values
