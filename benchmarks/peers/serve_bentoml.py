"""Serve the benchmark's model with BentoML: one route, adaptive batching, as its guides show it.

MODEL names the joblib file, WORKERS the number of processes.
"""

from __future__ import annotations

import os

import bentoml
import joblib
import numpy as np


@bentoml.service(workers=int(os.environ["WORKERS"]), metrics={"enabled": True})
class Bench:
    """The model."""

    def __init__(self) -> None:
        self.model = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Predict rows of shape (n, features)."""
        return self.model.predict(rows)
