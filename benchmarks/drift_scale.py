"""How the check grows: with a file's rows, with the reference, with the window.

drift.py runs it, one process for each of ``read``, ``length``, ``memory`` and ``size``.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from drift_data import block, write_long

from homeostat.config.model import Monitor
from homeostat.drift import compare
from homeostat.profile import Profile, Reference, count, count_parquet

REPEATS = 9
HOURS = {"1 day": 24, "7 days": 168}


def reference_of(folder: Path) -> Reference:
    """The reference's profile; kinds by dtype."""
    return _of(pd.read_parquet(folder / "reference.parquet"))


def _of(frame: pd.DataFrame) -> Reference:
    return Reference.of(
        frame, {name: "number" if kind == np.float64 else "category" for name, kind in frame.dtypes.items()}
    )


def alternately(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of each, taken in turn after one round that is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for at in range(REPEATS + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if at:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def read(folder: Path) -> dict[str, float]:
    """A file of a million rows: read by pyarrow alone, and read, counted and compared."""
    reference, path = reference_of(folder), write_long(folder, 1_000_000)

    def check() -> None:
        compare(reference.profile, count_parquet(reference.frames, path), Monitor())

    return alternately({"pyarrow": lambda: pq.read_table(path), "check": check})


def length(folder: Path) -> dict[str, float]:
    """The hourly check of 100,000 new rows, against a longer reference and in a longer window.

    The window's other hours were counted when they were new: their profiles are unpacked and added up.
    """
    rng = np.random.default_rng(7)
    rows = pd.read_parquet(folder / "same.parquet")
    usual, long = reference_of(folder), _of(block(rng, 2_000_000))
    hours = [rows.iloc[at * 500 : at * 500 + 4000] for at in range(max(HOURS.values()))]
    packed = [count(usual.frames, hour).to_bytes() for hour in hours]

    def against(reference: Reference) -> Callable[[], object]:
        return lambda: compare(reference.profile, count(reference.frames, rows), Monitor())

    def over(steps: int) -> Callable[[], object]:
        def check() -> None:
            window = count(usual.frames, rows)
            for one in packed[: steps - 1]:
                window += Profile.from_bytes(one, usual.frames)
            compare(usual.profile, window, Monitor())

        return check

    return alternately(
        {"200k": against(usual), "2M": against(long), **{name: over(steps) for name, steps in HOURS.items()}}
    )


def memory(folder: Path, rows: int) -> dict[str, float]:
    """Count a file that is there already; peak resident MB, and MB resident before."""
    reference = Reference.from_bytes((folder / "reference.profile").read_bytes())
    before = _resident("VmRSS")
    count_parquet(reference.frames, folder / f"rows_{rows}.parquet")
    return {"before": before, "peak": _resident("VmHWM")}


def _resident(field: str) -> float:
    # Not getrusage: its peak begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def size(folder: Path) -> dict[str, float]:
    """Bytes a feature: of the whole reference, and of the feature that needs most."""
    frame = pd.read_parquet(folder / "reference.parquet")
    each = [len(_of(frame[[name]]).to_bytes()) for name in frame]
    whole = reference_of(folder).to_bytes()
    (folder / "reference.profile").write_bytes(whole)
    return {"mean": len(whole) / len(each), "largest": max(each)}


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    work = {"read": read, "length": length, "memory": memory, "size": size}[what]
    print(json.dumps(work(Path(folder), *map(int, rest))))
