"""Joins labels to the logged predictions that they belong to, by prediction id; counts those without one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd

from homeostat.config import ModelConfig
from homeostat.ports import Store
from homeostat.storage.prediction_log import read_labels, read_prediction_ids, read_predictions

#: Gateways upload a prediction within seconds; a label of the last minute may be in the store before it.
UPLOAD_TIME = timedelta(minutes=1)
#: A label may come so much later than ``schema.label.delay`` says.
LATENESS = timedelta(hours=24)
#: Log files that one count may read.
_MAX_FILES = 20_000


@dataclass(frozen=True, slots=True)
class LabelIds:
    """How many labels became known in a step, and how many of their ids no prediction has.

    ``unlogged`` counts ids that are not in the prediction log since ``since``; None when not all of it could
    be read. ``newest`` is when the newest of these labels became known; None without one.
    """

    labels: int
    unlogged: int | None
    since: datetime
    newest: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {"new": self.labels, "unlogged": self.unlogged, "since": self.since.isoformat()}

    @property
    def sentence(self) -> str:
        """Return in words that labels have no prediction; "" when all have one, or when it is not known."""
        if not self.unlogged:
            return ""
        return (
            f"{self.unlogged} of {self.labels} new labels belong to no prediction logged since "
            f"{self.since:%Y-%m-%d %H:%M} UTC: check the ids that are sent, or schema.label.delay"
        )


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


def count_label_ids(store: Store, config: ModelConfig, start: datetime, end: datetime) -> LabelIds:
    """Look up the labels that became known in ``[start, end)`` in the prediction log.

    The log is read back to ``schema.label.delay`` and :data:`LATENESS` before ``start``, beginning with the
    hours where the labels are expected, and no further than needed.
    """
    delay = config.columns.label.delay
    since = start - delay - LATENESS
    known = read_labels(store, config, start, end)
    newest = known["at"].max().to_pydatetime() if len(known) else None
    missing = set(known["prediction_id"])
    labels, files_left = len(missing), _MAX_FILES
    expected = start + (end - start) / 2 - delay
    first = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = [first + timedelta(hours=h) for h in range(int((end - first) / timedelta(hours=1)) + 1)]
    for hour in sorted(hours, key=lambda hour: abs(hour - expected)):
        if not missing:
            break
        found = read_prediction_ids(store, config.name, hour, max_files=files_left)
        if found is None:
            return LabelIds(labels, None, since, newest)
        ids, files = found
        missing -= ids
        files_left -= files
    return LabelIds(labels, len(missing), since, newest)
