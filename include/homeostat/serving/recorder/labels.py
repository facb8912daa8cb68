"""Labels as they come in: the first of each id is kept, doubles are counted, conflicts go to quarantine."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_text
from homeostat.config.times import parse_utc
from homeostat.ports import Store
from homeostat.serving.recorder.upload import Kind, served_here
from homeostat.serving.scoring_request import BadRequest
from homeostat.storage.prediction_log import write_labels

MAX_ID = 160
_SHAPE = '{"labels": [{"id": "<prediction id>", "label": 1}]}'


@dataclass(frozen=True, slots=True)
class Label:
    """The truth about one prediction. ``at`` is when it became known."""

    id: str
    value: str | float
    at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Accepted:
    """How a batch of labels was taken in; ``conflicting`` say something else than the first of their id."""

    kept: tuple[Label, ...]
    duplicates: int
    conflicting: tuple[Label, ...]


class KnownLabels:
    """What each recent id was labelled, oldest forgotten first; the log's reader drops doubles again."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[str, str | float] = OrderedDict()

    def take(self, labels: Sequence[Label]) -> Accepted:
        """Sort labels into first ones, doubles and conflicts."""
        kept, conflicting, duplicates = [], [], 0
        for label in labels:
            before = self._known.get(label.id)
            if before is None:
                self._known[label.id] = label.value
                kept.append(label)
                if len(self._known) > self._capacity:
                    self._known.popitem(last=False)
            elif before == label.value:
                duplicates += 1
            else:
                conflicting.append(label)
        return Accepted(tuple(kept), duplicates, tuple(conflicting))

    def forget(self, labels: Sequence[Label]) -> None:
        """Take back labels that could not be kept, so that they may be sent again."""
        for label in labels:
            self._known.pop(label.id, None)


def parse_labels(body: bytes, config: ModelConfig, now: datetime, *, max_rows: int) -> list[Label]:
    """Read ``{"labels": [{"id", "label", "at"}]}``; all or nothing, BadRequest with a sentence."""
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        msg = f"The body is not JSON (line {error.lineno}, column {error.colno}); expected {_SHAPE}."
        raise BadRequest(msg) from None
    items = raw.get("labels") if isinstance(raw, dict) else None
    if not isinstance(items, list):
        msg_0 = f"Expected {_SHAPE}."
        raise BadRequest(msg_0)
    if len(items) > max_rows:
        msg = f"{len(items)} labels are more than the {max_rows} that one request may bring."
        raise BadRequest(msg, 413)
    return [_label(item, index, config, now) for index, item in enumerate(items)]


def _label(item: Any, index: int, config: ModelConfig, now: datetime) -> Label:
    if not isinstance(item, dict):
        msg = f"Label {index}: expected an object as in {_SHAPE}."
        raise BadRequest(msg)
    name = item.get("id")
    if not isinstance(name, str) or not 0 < len(name) <= MAX_ID:
        msg = f"Label {index}: 'id' must be the prediction's id, text of at most {MAX_ID} characters."
        raise BadRequest(msg)
    value = _value(item.get("label"), index, config)
    at = now
    if item.get("at") not in (None, ""):
        try:
            at = parse_utc(item["at"])
        except (TypeError, ValueError, OverflowError):
            msg = f"Label {index}: 'at' must be ISO 8601 text such as 2026-01-05T07:50:00Z."
            raise BadRequest(msg) from None
    return Label(name, value, at, now)


def _value(value: Any, index: int, config: ModelConfig) -> str | float:
    if config.task == "regression":
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        msg = f"Label {index}: '{config.name}' is a regression, so 'label' must be a number."
        raise BadRequest(msg)
    text = label_text(value) if isinstance(value, (str, int, float, bool)) else None
    if text is None:
        msg = f"Label {index}: 'label' must be a class, as text or a number."
        raise BadRequest(msg)
    return text


def pack(_: str, entries: Sequence[tuple[Label, ...]]) -> dict[str, Any]:
    """Labels as columns for the journal."""
    labels = [label for entry in entries for label in entry]
    return {
        "id": [label.id for label in labels],
        "label": [label.value for label in labels],
        "at": [label.at for label in labels],
        "received_at": [label.received_at for label in labels],
    }


def kind(store: Store, models: Mapping[str, ModelConfig]) -> Kind[tuple[Label, ...]]:
    """The label log, for a spool."""

    def write(gateway: str, model: str, sequence: int, parts: Sequence[Mapping[str, Any]]) -> object:
        found = _joined(parts)
        columns: dict[str, Sequence[Any]] = {
            "prediction_id": found["id"],
            "label": found["label"],
            "at": [datetime.fromisoformat(at) for at in found["at"]],
            "received_at": [datetime.fromisoformat(at) for at in found["received_at"]],
        }
        return write_labels(store, served_here(models, model), gateway, sequence, columns)

    return Kind("label log", "labels", pack, write)


def quarantine_kind(store: Store) -> Kind[tuple[Label, ...]]:
    """Labels that say something else than the first of their id: JSON, for a person to look at."""

    def write(gateway: str, model: str, sequence: int, parts: Sequence[Mapping[str, Any]]) -> None:
        found = _joined(parts)
        rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        body = {"reason": "another label for this id came first", "labels": rows}
        store.put(f"quarantine/{model}/labels/{gateway}-{sequence:08d}.json", orjson.dumps(body))

    return Kind("label quarantine", "quarantine", pack, write)


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}
