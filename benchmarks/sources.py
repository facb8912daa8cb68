"""Measure how long engines take to count a table on frozen edges, beside a bare scan of the same columns.

    python benchmarks/sources.py --rows 10_000_000 --postgres-rows 1_000_000 --spark-rows 5_000_000 [--write]

Each engine runs in a process of its own, in turn with its scan: ``sum`` of each of 30 numbers, ``max`` of
each of 5 categories. Times are medians. PostgreSQL is started for this and removed; Spark runs in this
machine's Java, in local mode. DuckDB also counts the numbers by its own ``histogram(x, edges)``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from drift_data import block, write_long

from homeostat.adapters.engines.connect import open_engine
from homeostat.adapters.engines.location import parse_location
from homeostat.adapters.engines.table import EngineTable
from homeostat.core.profile import NumberEdges, ProfileEdges, count_parquet, fit_edges
from homeostat.core.profile.thresholds import float_thresholds

HERE = Path(__file__).parent
REFERENCE_ROWS = 200_000
AIM, BAR, MAX_MB = 2.0, 3.0, 2048


def edges() -> ProfileEdges:
    """Fit the edges of 30 numbers and 5 categories."""
    frame = block(np.random.default_rng(0), REFERENCE_ROWS)
    kinds = {name: "number" if name.startswith("number") else "category" for name in frame.columns}
    return fit_edges(frame, kinds)  # type: ignore[arg-type]


def scan_sql(profile_edges: ProfileEdges, rows: str) -> str:
    """Return the bare scan of all columns."""
    read = (
        f"{'sum' if each.kind == 'number' else 'max'}({name})"
        for name, each in profile_edges.features.items()
    )
    return f"SELECT {', '.join(read)} FROM {rows}"  # noqa: S608  # names of this benchmark


def histogram_sql(profile_edges: ProfileEdges, rows: str) -> str:
    """Return DuckDB's own count of the numbers alone, on the same thresholds."""
    counted = (
        f"histogram({name}, {list(float_thresholds(each).values)})"
        for name, each in profile_edges.features.items()
        if isinstance(each, NumberEdges)
    )
    return f"SELECT {', '.join(counted)} FROM {rows}"  # noqa: S608  # names of this benchmark


def run_in_turn(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median seconds of each; a first round warms caches."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for at in range(repeats + 1):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if at:
                taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in taken.items()}


def measure_duckdb(path: Path, repeats: int) -> dict[str, float]:
    """Time DuckDB's scan, its count, and the local reader's on the same file."""
    found = edges()
    with open_engine(parse_location(f"duckdb://{path}")) as table:
        before = resident("VmRSS")
        table.profile(found)  # alone first: its memory is the peak
        peak = resident("VmHWM")
        scan, histogram = scan_sql(found, f"'{path}'"), histogram_sql(found, f"'{path}'")
        works: dict[str, Callable[[], object]] = {
            "scan": lambda: table.backend.con.execute(scan).fetchall(),
            "count": lambda: table.profile(found),
            "local": lambda: count_parquet(found, path),
            "histogram": lambda: table.backend.con.execute(histogram).fetchall(),
        }
        taken = run_in_turn(works, repeats)
        if table.profile(found) != count_parquet(found, path):
            raise SystemExit("DuckDB's counts are not those of the local path")
    return {**taken, "before_mb": before, "peak_mb": peak}


def measure_postgres(path: Path, repeats: int) -> dict[str, float]:
    """Time a scan and a count of PostgreSQL, which is loaded from the file first."""
    found = edges()
    with postgres() as url, open_engine(parse_location(f"{url}?query=SELECT 1 AS x")) as first:
        load_postgres(first.backend.con, path)
        with open_engine(parse_location(f"{url}?table=bench")) as table:
            if table.profile(found) != count_parquet(found, path):
                raise SystemExit("PostgreSQL's counts are not those of the local path")
            scan = scan_sql(found, "bench")
            return run_in_turn(
                {
                    "scan": lambda: table.backend.con.execute(scan).fetchall(),
                    "count": lambda: table.profile(found),
                },
                repeats,
            )


def load_postgres(connection: Any, path: Path) -> None:
    """Copy the Parquet file into the table ``bench``."""
    import pyarrow.parquet as pq
    from pyarrow import csv

    file = pq.ParquetFile(path)
    names = file.schema_arrow.names
    columns = ", ".join(f"{name} {'float8' if name.startswith('number') else 'text'}" for name in names)
    connection.execute(f"CREATE TABLE bench ({columns})")
    with connection.cursor() as cursor, cursor.copy("COPY bench FROM STDIN (FORMAT csv)") as copy:
        for batch in file.iter_batches(100_000):
            sink = io.BytesIO()
            csv.write_csv(batch, sink, csv.WriteOptions(include_header=False))
            copy.write(sink.getvalue())
    connection.execute("VACUUM ANALYZE bench")


def measure_spark(path: Path, repeats: int) -> dict[str, float]:
    """Time a scan and a count of Spark in local mode."""
    warnings.simplefilter("ignore")
    found = edges()
    with open_engine(parse_location(f"spark://local[*]?files={path}&spark.ui.enabled=false")) as table:
        taken = run_in_turn(
            {
                "scan": lambda: _spark(table, scan_sql(found, f"parquet.`{path}`")),
                "count": lambda: table.profile(found),
            },
            repeats,
        )
        table.backend._session.stop()  # noqa: SLF001  # ours alone
    return taken


def _spark(table: EngineTable, sql: str) -> None:
    table.backend._session.sql(sql).collect()  # noqa: SLF001  # Ibis has no name for it


def resident(field: str) -> float:
    """Return MB of this process's memory: ``VmRSS`` now, ``VmHWM`` at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


@contextmanager
def postgres() -> Iterator[str]:
    """Start a PostgreSQL of its own; yield its URL."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    folder = Path(tempfile.mkdtemp(prefix="homeostat-bench-pg-", dir="/tmp"))
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *options: str) -> None:
        subprocess.run(  # noqa: S603  # PostgreSQL's own programs
            [*user, str(programs / program), *options], check=True, stdout=subprocess.DEVNULL, cwd=folder
        )

    data = str(folder / "data")
    run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N")
    settings = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c shared_buffers=512MB"
    run("pg_ctl", "-D", data, "-o", settings, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)


MEASURES = {"duckdb": measure_duckdb, "postgres": measure_postgres, "spark": measure_spark}


def report(found: dict[str, tuple[int, dict[str, float]]]) -> str:
    """Return the table of the page."""
    lines = [
        "| engine | rows | scan (s) | count (s) | ratio | histogram (s) | local reader (s) | memory (MB) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for engine, (rows, taken) in found.items():
        local = f"{taken['local']:.2f}" if "local" in taken else ""
        histogram = f"{taken['histogram']:.2f}" if "histogram" in taken else ""
        memory = f"{taken['peak_mb']:,.0f}" if "peak_mb" in taken else ""
        ratio = taken["count"] / taken["scan"]
        times = f"{taken['scan']:.2f} | {taken['count']:.2f} | {ratio:.2f}"
        lines.append(f"| {engine} | {rows:,} | {times} | {histogram} | {local} | {memory} |")
    return "\n".join(lines)


def main() -> None:
    """Measure each engine in a process of its own; print, and with ``--write`` write, the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rows", type=int, default=2_000_000, help="rows of Parquet that DuckDB counts")
    options.add_argument("--postgres-rows", type=int, default=300_000, help="0 leaves PostgreSQL out")
    options.add_argument("--spark-rows", type=int, default=1_000_000, help="0 leaves Spark out")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "homeostat-bench")
    options.add_argument("--write", action="store_true", help="write benchmarks/sources.md")
    options.add_argument("--one", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    asked = options.parse_args()
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before the first engine."
    rows = {"duckdb": asked.rows, "postgres": asked.postgres_rows, "spark": asked.spark_rows}
    if asked.one:
        path = write_long(asked.folder, rows[asked.one])
        print(json.dumps(MEASURES[asked.one](path, asked.repeats)))
        return
    found = {}
    for engine, count in rows.items():
        if count:
            write_long(asked.folder, count)
            done = subprocess.run(  # noqa: S603  # this file
                [sys.executable, __file__, "--one", engine, *sys.argv[1:]],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found[engine] = (count, json.loads(done.stdout.splitlines()[-1]))
    table = report(found)
    print(table)
    print(machine)
    duckdb = found["duckdb"][1]
    ratio = duckdb["count"] / duckdb["scan"]
    print(
        f"DuckDB: {ratio:.2f} times its scan, aim {AIM}, bar {BAR}; {duckdb['peak_mb']:,.0f} of {MAX_MB:,} MB"
    )
    if asked.write:
        about = (HERE / "sources.py").read_text().split('"""')[1].strip()
        bars = f"{machine} Aim {AIM:g}, bar {BAR:g} times the scan."
        page = f"# Counting in engines\n\n{about}\n\n{bars}\n\n{table}\n"
        (HERE / "sources.md").write_text(page)


if __name__ == "__main__":
    main()
