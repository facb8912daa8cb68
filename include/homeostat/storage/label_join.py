"""Joins labels to the logged predictions that they belong to, by prediction id."""

from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.ports import Store
from homeostat.storage.prediction_log import read_labels, read_predictions


def read_labelled(
    store: Store, config: ModelConfig, start: datetime, end: datetime, *, known_by: datetime | None = None
) -> pd.DataFrame:
    """Read the served rows of ``[start, end)`` with their labels known by ``known_by`` (default: ``end``).

    The label is in the schema's label column, the row's time in its timestamp column; the log's own columns
    keep a leading underscore. Rows without a label yet are left out.
    """
    served = read_predictions(store, config, start, end).rows
    labels = read_labels(store, config, start, (known_by or end) + timedelta(microseconds=1))
    joined = served.merge(
        labels[["prediction_id", "label"]], left_on="_prediction_id", right_on="prediction_id", how="inner"
    ).drop(columns="prediction_id")
    joined[config.columns.label.name] = joined.pop("label")
    joined[config.columns.timestamp] = joined["_at"]
    if config.columns.key:
        joined[config.columns.key] = joined["_key"]
    return joined
