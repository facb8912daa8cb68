"""Snapshots of training data in the Store: one Parquet file, named by its digest, written once."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import pandas as pd

from homeostat.config.errors import NotFound
from homeostat.ports import Store

if TYPE_CHECKING:
    from homeostat.core.training_data import Snapshot

_PART, _WEIGHT = "__part", "__weight"


def put_snapshot(store: Store, model: str, snapshot: Snapshot) -> tuple[str, str]:
    """Write training and holdout rows with their weights; return the snapshot's key and digest."""
    parts = {"train": snapshot.train.copy(), "holdout": snapshot.holdout.copy()}
    for name, part in parts.items():
        part[_PART] = name
        part[_WEIGHT] = 1.0
    if snapshot.weights is not None:
        parts["train"][_WEIGHT] = snapshot.weights
    data = _parquet(pd.concat(list(parts.values()), ignore_index=True))
    digest = hashlib.sha256(data).hexdigest()
    key = f"snapshots/{model}/{digest}.parquet"
    store.put(key, data)
    return key, digest


def read_snapshot(store: Store, key: str) -> tuple[pd.DataFrame, pd.DataFrame, Any]:
    """Return training rows, holdout rows and the weights of the training rows (None when all are 1)."""
    data = store.get(key)
    if hashlib.sha256(data).hexdigest() not in key:
        msg = f"{store.uri(key)} was changed after it was written: retrain to make a new snapshot"
        raise NotFound(msg)
    rows = pd.read_parquet(io.BytesIO(data))
    train = rows[rows[_PART] == "train"].reset_index(drop=True)
    holdout = rows[rows[_PART] == "holdout"].reset_index(drop=True)
    weights = train.pop(_WEIGHT).to_numpy()
    return (
        train.drop(columns=_PART),
        holdout.drop(columns=[_PART, _WEIGHT]),
        None if (weights == 1).all() else weights,
    )


def quarantine(store: Store, model: str, rows: pd.DataFrame) -> None:
    """Store rows that were refused, so that the source can be repaired."""
    if not len(rows):
        return
    data = _parquet(rows)
    store.put(f"quarantine/{model}/{hashlib.sha256(data).hexdigest()}.parquet", data)


def _parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()
