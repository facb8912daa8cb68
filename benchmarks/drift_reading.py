"""Time `homeostat drift` and the drift check's counting beside pyarrow's own reading, cold and warm.

    PYTHONPATH=include python benchmarks/drift_reading.py [--write] [--rounds 5]

Each round reads a file with pyarrow and with Homeostat in turn, first after the system has dropped it
from memory (cold, POSIX_FADV_DONTNEED), then again (warm). The ratio is taken within the round, so that it
belongs to the same minute of the machine; median, least and greatest ratio of the rounds are given. The
CPU ratio, of the processor time of all threads, is the one that other work on the machine changes least.

`homeostat drift` reads two tables, here the same file twice, so it is held against two readings.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet as pq
from drift_data import write_long
from drift_scale import REFERENCE_ROWS, fit

from homeostat.adapters.tables import open_table
from homeostat.cli.commands.drift_compare import compare_tables
from homeostat.config.model import Monitor
from homeostat.core.drift import compare_profiles
from homeostat.core.profile import count_parquet

HERE = Path(__file__).resolve().parent
WIDE_COLUMNS, WIDE_ROWS, LONG_ROWS = 3000, 2000, 1_000_000
DRIFT = "homeostat drift"
#: The bar: a million rows within twice pyarrow's reading.
BAR = 2.0

Work = Callable[[], object]


def works(folder: Path) -> Iterator[tuple[str, Path, Work, dict[str, Work]]]:
    """Yield what is read, the file, pyarrow's reading, and Homeostat's."""
    long = write_long(folder, LONG_ROWS)
    reference = fit(pd.read_parquet(long).head(REFERENCE_ROWS))

    def check() -> None:
        compare_profiles(reference.profile, count_parquet(reference.edges, long), Monitor())

    yield (
        f"{LONG_ROWS:,} rows, 35 columns, Parquet",
        long,
        lambda: pq.read_table(long),
        {"counted and compared with a reference": check, DRIFT: partial(_drift, long)},
    )
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        rng.normal(size=(WIDE_ROWS, WIDE_COLUMNS)), columns=[f"c{at}" for at in range(WIDE_COLUMNS)]
    )
    parquet, csv = folder / "wide.parquet", folder / "wide.csv"
    frame.to_parquet(parquet, index=False)
    frame.to_csv(csv, index=False)
    wide = f"{WIDE_ROWS:,} rows, {WIDE_COLUMNS:,} columns"
    yield f"{wide}, Parquet", parquet, lambda: pq.read_table(parquet), {DRIFT: partial(_drift, parquet)}
    yield f"{wide}, CSV", csv, lambda: pyarrow.csv.read_csv(csv), {DRIFT: partial(_drift, csv)}


def _drift(path: Path) -> None:
    table = open_table(str(path))
    compare_tables(table, table, Monitor(), None, lambda _: None)


def seconds(work: Work, path: Path, *, cold: bool) -> tuple[float, float]:
    """Return how long it takes, and its processor time; ``cold`` drops the file from memory first."""
    if cold:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - begun, time.process_time() - used


def measure(folder: Path, rounds: int) -> list[str]:
    """Return the table's lines."""
    lines = [
        "| file | what | memory | pyarrow, s | Homeostat, s | ratio | least to greatest | bar | CPU ratio |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, path, plain, ours in works(folder):
        for what, work in ours.items():
            readings = 2 if what == DRIFT else 1
            work()
            for cold in (True, False):
                found = [
                    (*seconds(plain, path, cold=cold), *seconds(work, path, cold=cold)) for _ in range(rounds)
                ]
                ratios = sorted(mine / theirs / readings for theirs, _, mine, _ in found)
                used = statistics.median(mine / theirs / readings for _, theirs, _, mine in found)
                theirs, _, mine, _ = (statistics.median(column) for column in zip(*found, strict=True))
                bar = f"{BAR:g}" if path.name.startswith("rows_") else ""
                spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
                lines.append(
                    f"| {name} | {what} | {'cold' if cold else 'warm'} | {readings * theirs:.3f} | {mine:.3f}"
                    f" | {statistics.median(ratios):.2f} | {spread} | {bar} | {used:.2f} |"
                )
                print(lines[-1], file=sys.stderr)
    return lines


def main() -> None:
    """Print the table; write it to drift_reading.md with ``--write``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="of each reading, cold and warm (5)")
    parser.add_argument("--write", action="store_true", help="into benchmarks/drift_reading.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = "\n".join(measure(Path(folder), args.rounds))
    print(table)
    if args.write:
        machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        command = f"PYTHONPATH=include python benchmarks/drift_reading.py --write --rounds {args.rounds}"
        about = (__doc__ or "").split("\n\n", maxsplit=2)[2]
        text = f"# Reading, beside pyarrow\n\nMade by `{command}` ({machine}).\n\n{about}\n{table}\n"
        (HERE / "drift_reading.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
