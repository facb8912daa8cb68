"""The gateway's side of the prediction log: every served row once, or counted as lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

from homeostat.config import ModelConfig
from homeostat.ports import Store
from homeostat.serving.recorder.upload import Kind, served_here
from homeostat.serving.scoring_request import Rows
from homeostat.storage.prediction_log import FEATURE, write_predictions


@dataclass(frozen=True, slots=True)
class Served:
    """One version's answers to the rows of one request, as they go to the log."""

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


def prediction_ids(request_id: str, count: int) -> list[str]:
    """The request's own id for a single row, ``<request_id>-<i>`` for row i of several."""
    return [request_id] if count == 1 else [f"{request_id}-{i}" for i in range(count)]


def pack(config: ModelConfig, entries: Sequence[Served]) -> dict[str, Any]:
    """Many answers as columns for the journal: one value a request, or one a row, as :func:`unpack` reads."""
    plain = [e.rows for e in entries]
    out: dict[str, Any] = {name: [value(e) for e in entries] for name, value in _SCALARS.items()}
    out["rows"] = [rows.count for rows in plain]
    out["prediction_id"] = [i for e in entries for i in e.ids]
    out["prediction"] = [p for e in entries for p in e.predictions]
    out["confidence"] = [c for e in entries for c in (e.confidence or [None] * e.rows.count)]
    out["at"] = (
        [at for rows in plain for at in (rows.times or [None] * rows.count)]
        if any(rows.times for rows in plain)
        else None
    )
    out["key"] = (
        [key for rows in plain for key in (rows.keys or [None] * rows.count)]
        if any(rows.keys for rows in plain)
        else None
    )
    for index, name in enumerate(config.feature_names):
        out[FEATURE + name] = list(chain.from_iterable([rows.columns[index] for rows in plain]))
    endless = [name for name in ("prediction", *_numbers(config)) if _INFINITE & set(out[name])]
    for name in endless:  # JSON has no word for them
        out[name] = [str(v) if v in _INFINITE else v for v in out[name]]
    out["infinite"] = endless
    return out


def unpack(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What was packed, as the columns of :func:`homeostat.storage.prediction_log.prediction_schema`."""
    out: dict[str, list[Any]] = {}
    names = dict.fromkeys(name for part in parts for name in part)
    for part in parts:
        counts = part["rows"]
        rows = sum(counts)
        for name in names:
            if name in ("rows", "infinite"):
                continue
            values = part.get(name) or [None] * (len(counts) if name in _SCALARS else rows)
            if name in part["infinite"]:
                values = [float(v) if isinstance(v, str) else v for v in values]
            if name in _SCALARS and rows != len(counts):
                values = [v for v, count in zip(values, counts, strict=True) for _ in range(count)]
            out.setdefault(name, []).extend(values)
    out["received_at"] = [datetime.fromisoformat(at) for at in out["received_at"]]
    out["at"] = [
        received if at is None else datetime.fromisoformat(at)
        for at, received in zip(out["at"], out["received_at"], strict=True)
    ]
    return out


_INFINITE = {float("inf"), float("-inf")}
_SCALARS: dict[str, Callable[[Served], Any]] = {
    "request_id": lambda e: e.request_id,
    "received_at": lambda e: e.received_at,
    "version": lambda e: e.version,
    "variant": lambda e: e.variant,
    "rollout": lambda e: e.rollout or None,
    "extra": lambda e: ",".join(e.rows.extra) or None,
    "latency_ms": lambda e: e.latency_ms,
    "error": lambda e: e.error or None,
}


def _numbers(config: ModelConfig) -> list[str]:
    return [FEATURE + name for name, feature in config.columns.features.items() if feature.type == "number"]


def kind(store: Store, models: Mapping[str, ModelConfig]) -> Kind[Served]:
    """The prediction log, for a spool."""

    def packed(model: str, entries: Sequence[Served]) -> Mapping[str, Any]:
        return pack(models[model], entries)

    def write(gateway: str, model: str, sequence: int, parts: Sequence[Mapping[str, Any]]) -> object:
        return write_predictions(store, served_here(models, model), gateway, sequence, unpack(parts))

    return Kind("prediction log", "predictions", packed, write)
