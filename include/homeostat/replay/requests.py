"""Build requests from rows, in MLflow's ``dataframe_split`` format."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pandas as pd

from homeostat.config import ModelConfig
from homeostat.config.errors import DataError
from homeostat.core.training_data import as_number


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One request: its id, its body, and the times and labels of its rows."""

    id: str
    body: bytes
    times: tuple[datetime, ...]
    labels: tuple[Any, ...]


def build_requests(
    rows: pd.DataFrame | Iterable[pd.DataFrame], config: ModelConfig, batch: int, run: str
) -> Iterator[ReplayRequest]:
    """Yield requests in the order of the rows; ids are digests of the content, so repeats keep theirs."""
    seen: Counter[str] = Counter()
    stamp, label = config.columns.timestamp, config.columns.label.name
    for frame in [rows] if isinstance(rows, pd.DataFrame) else rows:
        # A missing feature is sent as it is, for the gateway to handle; a frame without any is an error.
        if stamp not in frame or not set(config.feature_names) & set(frame.columns):
            wants = ", ".join((stamp, *config.feature_names))
            found = ", ".join(map(str, frame.columns))
            msg = f"replay: the rows have the columns {found}; expected {wants} for {config.name}"
            raise DataError(msg)
        times = pd.to_datetime(frame[stamp], utc=True)
        if times.isna().any():
            msg = f"replay: row {int(times.isna().to_numpy().argmax())} has no {stamp!r}"
            raise DataError(msg)
        names = [str(name) for name in frame.columns if name != label]
        sent = frame[names].astype(object)
        for name in config.feature_names:
            if config.columns.features[name].type == "number" and name in sent:
                sent[name] = _numbers(frame[name])
        sent[stamp] = [at.isoformat() for at in times]
        data = sent.where(sent.notna(), None).to_numpy().tolist()
        truth = _plain(frame[label], config) if label in frame else [None] * len(frame)
        moments = [at.to_pydatetime() for at in times]
        for first in range(0, len(data), batch):
            part = slice(first, first + batch)
            body = orjson.dumps(
                {"dataframe_split": {"columns": names, "data": data[part]}},
                default=float,  # decimals
                option=orjson.OPT_SERIALIZE_NUMPY,
            )
            digest = hashlib.blake2b(f"{config.name}\0{run}\0".encode() + body, digest_size=10).hexdigest()
            seen[digest] += 1
            again = f".{seen[digest]}" if seen[digest] > 1 else ""
            yield ReplayRequest(digest + again, body, tuple(moments[part]), tuple(truth[part]))


def _numbers(column: pd.Series) -> pd.Series:
    """Return numbers that a file spells in text, and nothing for its words for "missing".

    What is neither is sent as it is, for the gateway to refuse.
    """
    if column.dtype.kind in "biuf":
        return column.astype(object)
    typed = as_number(column)
    numbers = typed.column
    faulty = np.zeros(len(column), dtype=bool)
    for rows in typed.faults.values():
        faulty |= rows
    return numbers.astype(object).where(~faulty, column.astype(object))


def _plain(labels: pd.Series, config: ModelConfig) -> list[Any]:
    """Return labels as Python values, spellings of a class as the class; None for a missing one."""
    if config.task == "regression":
        labels = _numbers(labels)
    values: list[Any] = labels.astype(object).where(labels.notna(), None).tolist()
    spelled = config.columns.label
    return [spelled.to_class(value) for value in values] if spelled.mapping else values
