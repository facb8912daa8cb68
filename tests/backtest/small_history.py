"""A small model with a history whose changes are known, for backtests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from homeostat import backtesting
from homeostat.adapters import fake_ports

T0 = datetime(2026, 1, 5, tzinfo=UTC)
WINDOW = 60

MODEL = """
name: small
task: {task}
pipeline: pipeline.py:build
source: {{kind: csv, uri: rows.csv}}
schema:
  timestamp: at
  label: {{name: y, delay: 1h}}
  features:
    a: {{type: number}}
    b: {{type: number}}
    kind: {{type: category}}
monitor: {{every: 1h, window: 24h, min_rows: 30}}
training: {{window: {{kind: sliding, length: 100h}}, min_rows: 60}}
gate: {{min_training_rows: 60, p99_latency_ms: 10000}}
"""

PIPELINE = """
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import {name}
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def build():
    columns = ColumnTransformer([("n", "passthrough", ["a", "b"]), ("c", OneHotEncoder(
        handle_unknown="ignore"), ["kind"])])
    return make_pipeline(columns, {name}())
"""


def rows_of(windows, *, flip=None, shift=None, seed=0, task="classification"):
    """Return hourly rows: a reference of 240, then windows; ``flip``, ``shift``: first changed window."""
    n = 240 + WINDOW * windows
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n), rng.normal(size=n)
    at = np.arange(n)
    target = a + b + 0.3 * rng.normal(size=n)
    if flip is not None:
        target = np.where(at < 240 + WINDOW * flip, target, -target)
    moved = 0.0 if shift is None else np.where(at < 240 + WINDOW * shift, 0.0, 2.0)
    return pd.DataFrame(
        {
            "at": pd.date_range(T0, periods=n, freq="1h"),
            "a": a + moved,
            "b": b - moved,
            "kind": rng.choice(["red", "blue"], size=n),
            "y": target if task == "regression" else (target > 0).astype(int),
        }
    )


def in_memory_ports(clock, source):
    return replace(fake_ports(clock=clock, source=source), renders_figures=False, bundle_cache={})


def run(config, rows, **more):
    share = more.pop("reference_share", 240.5 / len(rows))
    return backtesting.run_backtest(
        config, rows, in_memory_ports, windows=WINDOW, reference_share=share, **more
    )
