"""Parse MLflow's scoring protocol into typed columns.

Formats: ``dataframe_split``, ``dataframe_records``, ``instances`` and ``inputs``.

Pure: bytes in, :class:`Rows` or :class:`BadRequest` out. Messages name columns of model.yaml and row
positions, never a value of the request, which may be personal data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from homeostat.config import ModelConfig
from homeostat.config.label_text import label_texts, received_text
from homeostat.config.times import parse_utc

MAX_EXTRA, MAX_NAME = 50, 64
FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_NUMBERS = frozenset({float, int, type(None)})
_FLOATS = frozenset({float})
_TEXTS = frozenset({str, type(None)})
_CATEGORIES = frozenset({str, int, float, bool, type(None)})
# Possessive quantifier and optional closing quote: linear time for any input.
_TEXT_OR_NAN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|NaN', re.DOTALL)
_EXAMPLE = '{"dataframe_records": [{"column": 1.0}]}'


class BadRequest(Exception):
    """The request is invalid or cannot be served; ``status`` and ``sentence`` go to the client."""

    def __init__(self, sentence: str, status: int = 400) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The columns that one model expects; compiled once from its configuration."""

    model: str
    names: tuple[str, ...]
    numeric: tuple[bool, ...]
    required: frozenset[str]
    categories: tuple[frozenset[str] | None, ...]
    timestamp: str
    key: str | None
    known: frozenset[str]

    @classmethod
    def of(cls, config: ModelConfig) -> InputSpec:
        """Compile the ``schema`` block. The label is a known column too: it is ignored in requests."""
        columns = config.columns
        features = columns.features
        own = {columns.timestamp, columns.label.name, *([columns.key] if columns.key else [])}
        return cls(
            model=config.name,
            names=config.feature_names,
            numeric=tuple(f.type == "number" for f in features.values()),
            required=frozenset(name for name, f in features.items() if f.required),
            categories=tuple(frozenset(f.categories) if f.categories else None for f in features.values()),
            timestamp=columns.timestamp,
            key=columns.key,
            known=frozenset({*features, *own}),
        )

    @property
    def all_numeric(self) -> bool:
        """Whether every feature is a number, so that rows form a float64 matrix."""
        return all(self.numeric)


@dataclass(frozen=True, slots=True)
class Wants:
    """What a request in MLflow's protocol asks for: probabilities as predictions, and the classes beside."""

    probabilities: bool = False
    classes: bool = False

    @classmethod
    def of(cls, params: Any) -> Wants:
        """Read ``params``; parameters of other names are ignored, as by ``mlflow models serve``.

        Raises
        ------
        BadRequest
            ``predict_proba`` or ``classes`` is neither true nor false.
        """
        if not isinstance(params, dict) or not params:
            return NOTHING_MORE
        found = [params.get(name, False) for name in ("predict_proba", "classes")]
        for name, value in zip(("predict_proba", "classes"), found, strict=True):
            if not isinstance(value, bool):
                msg = f"params, '{name}': expected true or false, found {_kind(value)}."
                raise BadRequest(msg)
        return cls(*found)


NOTHING_MORE = Wants()


@dataclass(frozen=True, slots=True)
class Rows:
    """A request's rows as columns.

    ``columns`` follow ``InputSpec.names``: floats (missing: NaN) or text (missing: None). ``received`` has,
    by position, the categories that the client spelled otherwise, such as ``"1.0"`` for ``"1"``: they are
    logged, and versions of release 0.1 predict from them. ``keys`` and ``times`` are None when the request
    has no such column; a single key or time may be None. ``extra`` names columns that the model does not
    have; ``unknown`` counts values outside a feature's ``categories``. ``wants`` is what the
    response shall have.
    """

    count: int
    columns: tuple[list[Any], ...]
    keys: list[str | None] | None = None
    times: list[datetime | None] | None = None
    extra: tuple[str, ...] = ()
    unknown: Mapping[str, int] = field(default_factory=dict)
    received: Mapping[int, list[str | None]] = field(default_factory=dict)
    wants: Wants = NOTHING_MORE

    def as_received(self, column: int) -> list[Any]:
        """Return a column as the client spelled it."""
        return self.received.get(column, self.columns[column])

    def select(self, positions: Sequence[int]) -> Rows:
        """Return the rows at these positions."""
        return Rows(
            len(positions),
            tuple([column[i] for i in positions] for column in self.columns),
            None if self.keys is None else [self.keys[i] for i in positions],
            None if self.times is None else [self.times[i] for i in positions],
            self.extra,
            received={column: [texts[i] for i in positions] for column, texts in self.received.items()},
        )


def parse(body: bytes, spec: InputSpec, *, max_rows: int = 10_000) -> Rows:
    """Parse a request body into typed columns.

    Raises
    ------
    BadRequest
        The message says what was found, what was expected and where.
    """
    raw = read_json(body)
    if not isinstance(raw, dict):
        msg = f"Expected a JSON object such as {_EXAMPLE}, found {_kind(raw)}."
        raise BadRequest(msg)
    given = [name for name in FORMATS if name in raw]
    if len(given) != 1:
        found = "none of them" if not given else " and ".join(given)
        msg = f"Expected exactly one of {', '.join(FORMATS)}, found {found}. For example: {_EXAMPLE}"
        raise BadRequest(msg)
    columns, count = _READERS[given[0]](raw[given[0]], spec)
    if count == 0:
        msg_0 = f"{given[0]} has no rows: send at least one."
        raise BadRequest(msg_0)
    if count > max_rows:
        msg = f"{given[0]} has {count} rows; the limit of one request is {max_rows}."
        raise BadRequest(msg, 413)
    rows = typed_rows(columns, count, spec)
    wants = Wants.of(raw["params"]) if "params" in raw else NOTHING_MORE
    return rows if wants is NOTHING_MORE else replace(rows, wants=wants)


def read_json(body: bytes) -> Any:
    """Parse JSON; a bare NaN, which MLflow's client sends for a missing value, becomes null.

    Raises
    ------
    BadRequest
        The body is not JSON.
    """
    try:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            if b"NaN" not in body:
                raise
        return orjson.loads(_TEXT_OR_NAN.sub(lambda m: b"null" if m[0] == b"NaN" else m[0], body))
    except orjson.JSONDecodeError as error:
        msg = (
            f"The body is not JSON (line {error.lineno}, column {error.colno}). "
            "Infinity is not JSON either; send null for a missing value."
        )
        raise BadRequest(msg) from None


def typed_rows(columns: Mapping[str, list[Any]], count: int, spec: InputSpec) -> Rows:
    """Check and convert columns of JSON values by model.yaml; every protocol uses this function.

    Raises
    ------
    BadRequest
        A required feature is missing, or a value does not have its column's type.
    """
    typed: list[list[Any]] = []
    unknown: dict[str, int] = {}
    received: dict[int, list[str | None]] = {}
    for name, numeric, categories in zip(spec.names, spec.numeric, spec.categories, strict=True):
        values = columns.get(name)
        if values is None:
            if name in spec.required:
                raise BadRequest(_missing(name, columns, spec))
            typed.append([math.nan if numeric else None] * count)
        elif numeric:
            typed.append(_numbers(name, values))
        else:
            as_sent = _texts(name, values)
            texts = label_texts(as_sent)
            if texts != as_sent:
                received[len(typed)] = as_sent
            if categories is not None:
                unseen = sum(value is not None and value not in categories for value in texts)
                if unseen:
                    unknown[name] = unseen
            typed.append(texts)
    extra = () if columns.keys() <= spec.known else _extra_columns(columns, spec)
    keys = columns.get(spec.key) if spec.key else None
    times = columns.get(spec.timestamp)
    return Rows(
        count,
        tuple(typed),
        None if keys is None else [_key(value, row, spec.key or "") for row, value in enumerate(keys)],
        None if times is None else [_time(value, row, spec.timestamp) for row, value in enumerate(times)],
        extra,
        unknown,
        received,
    )


def _extra_columns(columns: Mapping[str, Any], spec: InputSpec) -> tuple[str, ...]:
    """Return columns that the model does not have; truncated, because they go to the log and to metrics."""
    names = sorted(name[:MAX_NAME] for name in columns.keys() - spec.known)
    return tuple(names[:MAX_EXTRA])


def _missing(name: str, columns: Mapping[str, Any], spec: InputSpec) -> str:
    others = [n for n in spec.names if n in spec.required and n not in columns and n != name]
    more = f" ({len(others)} more are missing: {', '.join(others[:5])})" if others else ""
    return (
        f"The feature '{name}' is missing{more}. Model '{spec.model}' expects: {', '.join(spec.names)}. "
        "Send null for a missing value."
    )


def _numbers(name: str, values: list[Any]) -> list[float]:
    kinds = set(map(type, values))
    if kinds == _FLOATS:
        return values  # JSON has no infinity, and orjson rejects a number that overflows to one
    if not kinds <= _NUMBERS:
        row = next(i for i, value in enumerate(values) if type(value) not in _NUMBERS)
        msg = f"Row {row}, feature '{name}': expected a number or null, found {_kind(values[row])}."
        raise BadRequest(msg)
    return [math.nan if value is None else float(value) for value in values]


def _texts(name: str, values: list[Any]) -> list[str | None]:
    kinds = set(map(type, values))
    if kinds <= _TEXTS:
        return [value or None for value in values]
    if not kinds <= _CATEGORIES:
        row = next(i for i, value in enumerate(values) if type(value) not in _CATEGORIES)
        msg = f"Row {row}, feature '{name}': expected a category (text) or null, found {_kind(values[row])}."
        raise BadRequest(msg)
    return [received_text(value) for value in values]


def _key(value: Any, row: int, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        return received_text(value)
    msg = f"Row {row}, key column '{name}': expected text, a number or null, found {_kind(value)}."
    raise BadRequest(msg)


def _time(value: Any, row: int, name: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        if not isinstance(value, str):
            raise ValueError  # noqa: TRY004  # one message for every kind of invalid timestamp
        return parse_utc(value)
    except (ValueError, OverflowError):
        found = "other text" if isinstance(value, str) else _kind(value)
        msg = (
            f"Row {row}, timestamp column '{name}': expected ISO 8601 text such as "
            f"2026-01-05T07:50:00Z, found {found}."
        )
        raise BadRequest(msg) from None


def _split(raw: Any, spec: InputSpec) -> tuple[dict[str, list[Any]], int]:
    del spec
    shape = '{"columns": ["a", "b"], "data": [[1.0, 2.0]]}'
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), list):
        msg = f"dataframe_split: expected {shape}, found {_kind(raw)} without 'data'."
        raise BadRequest(msg)
    names = raw.get("columns")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        msg = f"dataframe_split: 'columns' must list the names as text, as in {shape}."
        raise BadRequest(msg)
    if len(set(names)) != len(names):
        raise BadRequest("dataframe_split: duplicate column name in 'columns': remove one of them.")
    return _by_position("dataframe_split", raw["data"], names)


def _by_position(where: str, rows: list[Any], names: Sequence[str]) -> tuple[dict[str, list[Any]], int]:
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            found = f"{len(row)} values" if isinstance(row, list) else _kind(row)
            msg = f"{where}: row {index} should be a list of {len(names)} values, found {found}."
            raise BadRequest(msg)
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}, len(rows)


def _records(raw: Any, spec: InputSpec, where: str = "dataframe_records") -> tuple[dict[str, list[Any]], int]:
    del spec
    if not isinstance(raw, list):
        msg = f"{where}: expected a list of objects, found {_kind(raw)}."
        raise BadRequest(msg)
    for index, row in enumerate(raw):
        if not isinstance(row, dict):
            msg = f"{where}: row {index} should be an object, found {_kind(row)}."
            raise BadRequest(msg)
    if len(raw) == 1:
        return {name: [value] for name, value in raw[0].items()}, 1
    names = dict.fromkeys(name for row in raw for name in row)
    return {name: [row.get(name) for row in raw] for name in names}, len(raw)


def _instances(raw: Any, spec: InputSpec, where: str = "instances") -> tuple[dict[str, list[Any]], int]:
    if isinstance(raw, list) and raw and isinstance(raw[0], list):
        return _by_position(where, raw, spec.names)
    return _records(raw, spec, where)


def _inputs(raw: Any, spec: InputSpec) -> tuple[dict[str, list[Any]], int]:
    if not isinstance(raw, dict):
        return _instances(raw, spec, "inputs")
    columns = {name: value if isinstance(value, list) else [value] for name, value in raw.items()}
    lengths = {len(value) for value in columns.values()}
    if len(lengths) > 1:
        found = f"{min(lengths)} to {max(lengths)}"
        msg = f"inputs: columns of different lengths ({found}): every column needs one value per row."
        raise BadRequest(msg)
    return columns, lengths.pop() if lengths else 0


_READERS = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
