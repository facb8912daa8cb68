"""A prediction log of many small files, what readers see of it, and a store that stops at a write."""

import io
from datetime import UTC, datetime, timedelta

import pandas as pd
import pyarrow.parquet as pq

from homeostat.config import ModelConfig
from homeostat.storage import prediction_log as log
from homeostat.storage.log_joining import GRACE

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
T0 = datetime(2026, 1, 5, 7, tzinfo=UTC)
#: Long enough after T0, and the first run that may delete what the one at NOW has joined.
NOW = T0 + 30 * DAY
LATER = NOW + GRACE
CONFIG = ModelConfig.model_validate(
    {
        "name": "m",
        "task": "classification",
        "pipeline": "pipeline.py:build",
        "source": {"kind": "predictions"},
        "schema": {"label": {"name": "y"}, "features": {"x": {"type": "number"}}},
    }
)


def write(store, *, gateway="g1", sequence=1, start=T0, n=3, received=None):
    """Write one file of predictions and one of their labels, all in the hour of ``start``."""
    ids = [f"{gateway}-{start:%d%H}-{sequence}-{i}" for i in range(n)]
    at = [start + timedelta(minutes=i) for i in range(n)]
    known = {"prediction_id": ids, "at": at, "received_at": [received or time for time in at]}
    served = {"variant": ["champion"] * n, "prediction": ["1"] * n, "x.x": [float(i) for i in range(n)]}
    log.write_predictions(store, CONFIG, gateway, sequence, known | served)
    log.write_labels(store, CONFIG, gateway, sequence, known | {"label": ["1"] * n})


def seen(store):
    """Return what readers of the log see: predictions and labels by their id."""
    end = T0 + 20 * DAY
    rows = log.read_predictions(store, CONFIG, T0 - DAY, end).rows.sort_values("_prediction_id")
    labels = log.read_labels(store, CONFIG, T0 - DAY, end).sort_values("prediction_id")
    return [frame.reset_index(drop=True) for frame in (rows, labels)]


def same(before, after):
    """Fail unless readers see the same rows, column by column."""
    for one, other in zip(before, after, strict=True):
        pd.testing.assert_frame_equal(one, other)


def stored(store, kind):
    """Return the ids of the rows in all files of a log, each as often as it is there, and the files."""
    keys = store.list(f"log/m/{kind}")
    ids = [
        name
        for key in keys
        for name in pq.read_table(io.BytesIO(store.get(key)))["prediction_id"].to_pylist()
    ]
    return sorted(ids), keys


class StopsAt:
    """A store that calls ``stop`` before (even points) or after (odd ones) one of its changes."""

    def __init__(self, store, point, stop):
        self._store, self._point, self._stop, self.changes = store, point, stop, 0
        self.get, self.list, self.exists, self.uri = store.get, store.list, store.exists, store.uri

    def put(self, *args, **more):
        self._change(self._store.put, *args, **more)

    def delete(self, key):
        self._change(self._store.delete, key)

    def _change(self, change, *args, **more):
        for when in (2 * self.changes, 2 * self.changes + 1):
            if when == self._point:
                self._stop()
            if when % 2 == 0:
                change(*args, **more)
        self.changes += 1
