"""The gateway's side of the prediction log: every served row once, or counted as lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from homeostat.config import ModelConfig
from homeostat.flows.log import FEATURE, write_predictions
from homeostat.gateway.protocol import Rows
from homeostat.ports import Store


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


def columns_of(config: ModelConfig, entries: Sequence[Served]) -> dict[str, list[Any]]:
    """Many answers as the columns of :func:`homeostat.flows.log.prediction_schema`."""
    out: dict[str, list[Any]] = {
        "prediction_id": [i for e in entries for i in e.ids],
        "at": [at for e in entries for at in _times(e)],
        "key": [key for e in entries for key in (e.rows.keys or [None] * e.rows.count)],
        "prediction": [p for e in entries for p in e.predictions],
        "confidence": [c for e in entries for c in (e.confidence or [None] * e.rows.count)],
    }
    for name, value in _SCALARS.items():
        out[name] = [v for e in entries for v in [value(e)] * e.rows.count]
    for index, name in enumerate(config.feature_names):
        out[FEATURE + name] = [v for e in entries for v in e.rows.columns[index]]
    return out


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


def _times(entry: Served) -> list[datetime]:
    if entry.rows.times is None:
        return [entry.received_at] * entry.rows.count
    return [at or entry.received_at for at in entry.rows.times]


def writer(
    store: Store, models: Mapping[str, ModelConfig], gateway: str
) -> Callable[[str, int, Sequence[Served]], object]:
    """What the prediction log's spool calls with each chunk."""

    def write(model: str, sequence: int, entries: Sequence[Served]) -> object:
        config = models[model]
        return write_predictions(store, config, gateway, sequence, columns_of(config, entries))

    return write
