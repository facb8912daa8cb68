"""Incoming labels: the first of each id is kept, duplicates are counted, conflicts are quarantined.

Labels that cannot be meant are refused: a class that the model does not have, or an id that no prediction can
have.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_text
from homeostat.config.times import parse_utc
from homeostat.ports import Store
from homeostat.serving.recorder.upload import LogSpec, served_config
from homeostat.serving.scoring_request import BadRequest
from homeostat.storage.prediction_log import write_labels

MAX_ID = 160
#: Request ids, and so prediction ids, are made of these.
ID_CHARACTERS = "A-Za-z0-9._:@/+=-"
_ID = re.compile(f"[{ID_CHARACTERS}]{{1,{MAX_ID}}}")
#: Requests whose ids one process remembers per model.
RECENT_REQUESTS = 50_000
#: Classes that an error names.
_NAMED = 20
_SHAPE = '{"labels": [{"id": "<prediction id>", "label": 1}]}'


@dataclass(frozen=True, slots=True)
class Label:
    """The true value for one prediction. ``at`` is when it became known."""

    id: str
    value: str | float
    at: datetime
    received_at: datetime


@dataclass(frozen=True, slots=True)
class AcceptedLabels:
    """A batch of labels, sorted; ``conflicting`` have another value than the first label of their id."""

    new: tuple[Label, ...]
    duplicates: int
    conflicting: tuple[Label, ...]


class KnownLabels:
    """The label of each recent id, oldest evicted first; the log's reader removes duplicates again."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._known: OrderedDict[str, str | float] = OrderedDict()

    def accept(self, labels: Sequence[Label]) -> AcceptedLabels:
        """Sort labels into new ones, duplicates and conflicts, and remember the new ones."""
        new, conflicting, duplicates = [], [], 0
        for label in labels:
            before = self._known.get(label.id)
            if before is None:
                self._known[label.id] = label.value
                new.append(label)
                if len(self._known) > self._capacity:
                    self._known.popitem(last=False)
            elif before == label.value:
                duplicates += 1
            else:
                conflicting.append(label)
        return AcceptedLabels(tuple(new), duplicates, tuple(conflicting))

    def forget(self, labels: Sequence[Label]) -> None:
        """Forget labels that could not be written, so that clients may send them again."""
        for label in labels:
            self._known.pop(label.id, None)


class RecentPredictions:
    """The requests that this process predicted lately, oldest evicted first.

    An id that is not here may be of another worker, of another gateway, or older.
    """

    def __init__(self, capacity: int = RECENT_REQUESTS) -> None:
        self._capacity = capacity
        self._rows: OrderedDict[str, int] = OrderedDict()

    def add(self, request_id: str, rows: int) -> None:
        """Remember a request's id and its number of rows."""
        self._rows[request_id] = rows
        if len(self._rows) > self._capacity:
            self._rows.popitem(last=False)

    def __contains__(self, prediction_id: str) -> bool:
        """Whether the id is that of a row of a remembered request."""
        if self._rows.get(prediction_id) == 1:
            return True
        request_id, _, row = prediction_id.rpartition("-")
        rows = self._rows.get(request_id, 1)
        return rows > 1 and row.isdecimal() and str(int(row)) == row and int(row) < rows


def parse_labels(
    body: bytes, config: ModelConfig, now: datetime, *, max_rows: int, classes: Collection[str] | None = None
) -> list[Label]:
    """Parse ``{"labels": [{"id", "label", "at"}]}`` and turn what labels spell into classes.

    Parameters
    ----------
    classes
        The classes that a label may have; None when they are not known.

    Raises
    ------
    BadRequest
        Any label is invalid (400, 413), or none of ``classes`` (422).
    """
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
        msg = f"{len(items)} labels in one request; the limit is {max_rows}."
        raise BadRequest(msg, 413)
    labels = [_label(item, index, config, now) for index, item in enumerate(items)]
    if classes is not None:
        unknown = [index for index, label in enumerate(labels) if label.value not in classes]
        if unknown:
            raise BadRequest(_unknown_class(config, unknown, labels[unknown[0]], items, classes), 422)
    return labels


def _unknown_class(
    config: ModelConfig, unknown: Sequence[int], first: Label, items: Sequence[Any], classes: Collection[str]
) -> str:
    more = f" ({len(unknown) - 1} more like it)" if len(unknown) > 1 else ""
    named = ", ".join(sorted(classes)[:_NAMED]) + (", ..." if len(classes) > _NAMED else "")
    mapped = first.value != label_text(items[unknown[0]]["label"])
    turned = f"; schema.label.mapping turns it into {first.value!r}" if mapped else ""
    return (
        f"Label {unknown[0]}{more}: 'label' is none of the classes of '{config.name}': {named}{turned}. "
        "In its model.yaml, schema.label.mapping turns another spelling into a class, and "
        "schema.label.classes lists a class that no served version knows yet."
    )


def _label(item: Any, index: int, config: ModelConfig, now: datetime) -> Label:
    if not isinstance(item, dict):
        msg = f"Label {index}: expected an object as in {_SHAPE}."
        raise BadRequest(msg)
    name = item.get("id")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        msg = (
            f"Label {index}: 'id' must be the prediction's id: X-Request-Id, followed by -0, -1, ... for the "
            f"rows of a larger request; at most {MAX_ID} of {ID_CHARACTERS}."
        )
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
    label = config.columns.label
    text = label.to_class(value) if isinstance(value, (str, int, float, bool)) else None
    if text is None:
        msg = f"Label {index}: 'label' must be a class, as text or a number."
        raise BadRequest(msg)
    return text


def pack(_: str, entries: Sequence[tuple[Label, ...]]) -> dict[str, Any]:
    """Return labels as JSON columns for the journal."""
    labels = [label for entry in entries for label in entry]
    return {
        "id": [label.id for label in labels],
        "label": [label.value for label in labels],
        "at": [label.at for label in labels],
        "received_at": [label.received_at for label in labels],
    }


def label_log_spec(store: Store, models: Mapping[str, ModelConfig]) -> LogSpec[tuple[Label, ...]]:
    """Describe the label log to a spool."""

    def write(gateway: str, model: str, sequence: int, parts: Sequence[Mapping[str, Any]]) -> object:
        found = _joined(parts)
        columns: dict[str, Sequence[Any]] = {
            "prediction_id": found["id"],
            "label": found["label"],
            "at": [datetime.fromisoformat(at) for at in found["at"]],
            "received_at": [datetime.fromisoformat(at) for at in found["received_at"]],
        }
        return write_labels(store, served_config(models, model), gateway, sequence, columns)

    return LogSpec("label log", "labels", pack, write)


def label_quarantine_spec(store: Store) -> LogSpec[tuple[Label, ...]]:
    """Describe the log of conflicting labels: JSON files for inspection."""

    def write(gateway: str, model: str, sequence: int, parts: Sequence[Mapping[str, Any]]) -> None:
        found = _joined(parts)
        rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        body = {"reason": "another label for this id arrived first", "labels": rows}
        store.put(f"quarantine/{model}/labels/{gateway}-{sequence:08d}.json", orjson.dumps(body))

    return LogSpec("label quarantine", "quarantine", pack, write)


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [value for part in parts for value in part[name]] for name in parts[0]}
