"""Measure how the drift check scales with rows, reference and window.

drift.py runs it, one process for each of ``length``, ``memory`` and ``size``.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count as count_from
from pathlib import Path

import numpy as np
import pandas as pd
from drift_data import block

from homeostat.adapters import fake_ports
from homeostat.adapters.store_file import FileStore
from homeostat.config import ModelConfig
from homeostat.config.model import Monitor
from homeostat.core.drift import compare_profiles
from homeostat.core.profile import Reference, count_dataframe, count_parquet
from homeostat.core.rollout import VersionRef
from homeostat.monitoring.context import CheckContext
from homeostat.monitoring.window import WindowCounts
from homeostat.monitoring.window_drift import drift_report
from homeostat.storage import prediction_log as log

REPEATS = 9
REFERENCE_ROWS = 200_000
T0, HOUR = datetime(2026, 1, 5, tzinfo=UTC), timedelta(hours=1)
LONG = {"1 day": timedelta(days=1), "7 days": timedelta(days=7)}
#: Rows and files of the log an hour.
PER_HOUR, FILES = 4000, 4


def reference_of(folder: Path) -> Reference:
    """Return the reference; kinds by dtype."""
    return fit(pd.read_parquet(folder / "reference.parquet"))


def fit(frame: pd.DataFrame) -> Reference:
    """Return the reference of a frame; kinds by dtype."""
    return Reference.fit(
        frame, {name: "number" if kind == np.float64 else "category" for name, kind in frame.dtypes.items()}
    )


def alternately(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return median seconds of each, run in turn; the first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for at in range(REPEATS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if at:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def length(folder: Path) -> dict[str, float]:
    """Time 100,000 rows against a longer reference, and the hourly check of a longer window."""
    rows = pd.read_parquet(folder / "same.parquet")
    usual, long = reference_of(folder), fit(block(np.random.default_rng(7), 2_000_000))

    def against(reference: Reference) -> Callable[[], object]:
        return lambda: compare_profiles(reference.profile, count_dataframe(reference.edges, rows), Monitor())

    return {**alternately({"200k": against(usual), "2M": against(long)}), **hourly(usual, rows)}


def hourly(reference: Reference, rows: pd.DataFrame) -> dict[str, float]:
    """Time the hourly check of a log in files: list it, read and count the new hour, add up, compare.

    Both windows end with the same hours, each in its own store; the time includes what is written for the
    next hour, but not the first check, which counts every hour of the window.
    """
    with tempfile.TemporaryDirectory() as temporary:
        first, others = (Path(temporary) / name for name in ("0", "others"))
        end = T0 + max(LONG.values())
        contexts = {name: _context(reference, rows, first, window) for name, window in LONG.items()}
        one = next(iter(contexts.values()))
        for hour in range((end - T0) // HOUR + REPEATS + 1):
            _serve(one, rows.iloc[hour * 500 : hour * 500 + PER_HOUR], T0 + hour * HOUR)
        for at, name in enumerate(LONG):
            root = others / str(at)
            shutil.copytree(first, root)
            contexts[name] = replace(contexts[name], ports=replace(one.ports, store=FileStore(root)))
        hours = {name: count_from(0) for name in LONG}

        def check(name: str) -> None:
            now = end + next(hours[name]) * HOUR
            drift_report(contexts[name], WindowCounts(contexts[name], now - LONG[name], now))

        return alternately({name: partial(check, name) for name in LONG})


def _context(reference: Reference, rows: pd.DataFrame, root: Path, window: timedelta) -> CheckContext:
    kinds = {name: shape.kind for name, shape in reference.edges.features.items()}
    config = ModelConfig.model_validate(
        {
            "name": "bench",
            "task": "regression",
            "pipeline": "pipeline.py:build",
            "source": {"kind": "predictions"},
            "schema": {
                "label": {"name": "label", "delay": "1d"},
                "features": {name: {"type": kinds[name]} for name in rows},
            },
            "monitor": {"every": "1h", "window": f"{window // HOUR}h"},
        }
    )
    ports = replace(fake_ports(start=T0), store=FileStore(root))
    return CheckContext(config, ports, VersionRef("1", "0" * 64), reference)


def _serve(context: CheckContext, rows: pd.DataFrame, hour: datetime) -> None:
    """Write predictions for these rows of one hour to FILES files of the prediction log."""
    columns: dict[str, list[object]] = {
        "prediction_id": [f"{hour:%d%H}-{at}" for at in range(len(rows))],
        "at": [hour + HOUR * at / len(rows) for at in range(len(rows))],
        "version": ["1"] * len(rows),
        "variant": ["champion"] * len(rows),
        "prediction": [0.0] * len(rows),
        **{f"{log.FEATURE}{name}": rows[name].tolist() for name in rows},
    }
    for file in range(FILES):
        part = {name: values[file::FILES] for name, values in columns.items()}
        log.write_predictions(context.ports.store, context.config, f"g{file}", int(hour.timestamp()), part)


def memory(folder: Path, rows: int) -> dict[str, float]:
    """Count an existing file; return the peak resident MB, and the resident MB before."""
    reference = Reference.from_bytes((folder / "reference.profile").read_bytes())
    before = _resident("VmRSS")
    count_parquet(reference.edges, folder / f"rows_{rows}.parquet")
    return {"before": before, "peak": _resident("VmHWM")}


def _resident(field: str) -> float:
    # Not getrusage: its peak begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def size(folder: Path) -> dict[str, float]:
    """Return bytes per feature: the mean over the reference, and the largest."""
    frame = pd.read_parquet(folder / "reference.parquet")
    each = [len(fit(frame[[name]]).to_bytes()) for name in frame]
    whole = reference_of(folder).to_bytes()
    (folder / "reference.profile").write_bytes(whole)
    return {"mean": len(whole) / len(each), "largest": max(each)}


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    work = {"length": length, "memory": memory, "size": size}[what]
    print(json.dumps(work(Path(folder), *map(int, rest))))
