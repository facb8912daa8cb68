"""Measure how long engines take to count a table on frozen edges, beside a bare scan of the same columns.

Each engine runs in a process of its own, in turn with its scan: ``sum`` of each of 30 numbers, ``max`` of
each of 5 categories, by as many processes or threads of the engine as the count has. Every count is compared
with the local path's, cell by cell. Times are medians of the rounds, the ratio is the median of the rounds'
ratios, with the lowest and highest. With one round nothing warms the caches but a first count. Memory is the
peak of the process that counts, after that first count. PostgreSQL is started for this and removed; Spark
runs in this machine's Java, in local mode. DuckDB also counts the numbers by its own ``histogram(x, edges)``,
and the local reader reads the same file.

``--data FOLDER`` keeps the Parquet files there and reuses them: 100 million rows take 17 GB, and longer to
write than to measure.
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

#: Seconds of each round, by what was measured.
Taken = dict[str, list[float]]


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


def run_in_turn(works: dict[str, Callable[[], object]], repeats: int) -> tuple[Taken, dict[str, object]]:
    """Return the seconds of each in each round, and what each returned last.

    Before several rounds there is another one, which warms caches.
    """
    taken: Taken = {name: [] for name in works}
    found: dict[str, object] = {}
    for _ in range(repeats + (repeats > 1)):
        for name, work in works.items():
            start = time.perf_counter()
            found[name] = work()
            taken[name].append(time.perf_counter() - start)
    return {name: each[-repeats:] for name, each in taken.items()}, found


def require_same(engine: str, counted: object, local: object) -> None:
    """Stop where an engine counts other than the local path."""
    if counted != local:
        msg = f"{engine}'s counts are not those of the local path"
        raise SystemExit(msg)


def measure_duckdb(path: Path, repeats: int) -> Taken:
    """Time DuckDB's scan, its count, and the local reader's on the same file."""
    found = edges()
    with open_engine(parse_location(f"duckdb://{path}")) as table:
        table.profile(found)  # alone first: its memory is the peak
        peak = resident("VmHWM")
        scan, histogram = scan_sql(found, f"'{path}'"), histogram_sql(found, f"'{path}'")
        works: dict[str, Callable[[], object]] = {
            "scan": lambda: table.backend.con.execute(scan).fetchall(),
            "count": lambda: table.profile(found),
            "local": lambda: count_parquet(found, path),
            "histogram": lambda: table.backend.con.execute(histogram).fetchall(),
        }
        taken, results = run_in_turn(works, repeats)
    require_same("DuckDB", results["count"], results["local"])
    return {**taken, "peak_mb": [peak]}


def measure_postgres(path: Path, repeats: int) -> Taken:
    """Time a scan and a count of PostgreSQL, which is loaded from the file first."""
    found = edges()
    with postgres() as url, open_engine(parse_location(f"{url}?query=SELECT 1 AS x")) as first:
        load_postgres(first.backend.con, path)
        with open_engine(parse_location(f"{url}?table=bench")) as table:
            scan = scan_sql(found, "bench")
            taken, results = run_in_turn(
                {
                    "scan": lambda: table.backend.con.execute(scan).fetchall(),
                    "count": lambda: table.profile(found),
                },
                repeats,
            )
            require_same("PostgreSQL", results["count"], count_parquet(found, path))
            return {**taken, "peak_mb": [resident("VmHWM")]}


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


def measure_spark(path: Path, repeats: int) -> Taken:
    """Time a scan and a count of Spark in local mode."""
    warnings.simplefilter("ignore")
    found = edges()
    with open_engine(parse_location(f"spark://local[*]?files={path}&spark.ui.enabled=false")) as table:
        taken, results = run_in_turn(
            {
                "scan": lambda: _spark(table, scan_sql(found, f"parquet.`{path}`")),
                "count": lambda: table.profile(found),
            },
            repeats,
        )
        table.backend._session.stop()  # noqa: SLF001  # ours alone
    require_same("Spark", results["count"], count_parquet(found, path))
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


def report(found: dict[str, tuple[int, Taken]]) -> str:
    """Return the table of the page."""
    lines = [
        "| engine | rows | scan (s) | count (s) | ratio (range) | bar | histogram (s) | local (s) | MB |",
        "|---|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for engine, (rows, taken) in found.items():
        ratios = [count / scan for count, scan in zip(taken["count"], taken["scan"], strict=True)]
        ratio = statistics.median(ratios)
        spread = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        seconds = [
            f"{statistics.median(taken[name]):.2f}" if name in taken else ""
            for name in ("scan", "count", "histogram", "local")
        ]
        peak = taken.get("peak_mb", [])
        met = ratio <= BAR and all(each <= MAX_MB for each in peak)
        memory = f"{peak[0]:,.0f}" if peak else ""
        cells = [engine, f"{rows:,}", *seconds[:2], spread, "met" if met else "not met", *seconds[2:], memory]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure each engine in a process of its own; print, and with ``--write`` write, the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument(
        "--rows", type=int, default=2_000_000, help="rows that DuckDB counts; 0 leaves it out"
    )
    options.add_argument("--postgres-rows", type=int, default=300_000, help="0 leaves PostgreSQL out")
    options.add_argument("--spark-rows", type=int, default=1_000_000, help="0 leaves Spark out")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument(
        "--data",
        type=Path,
        default=Path(tempfile.gettempdir()) / "homeostat-bench",
        help="where the Parquet files are kept and reused",
    )
    options.add_argument("--write", action="store_true", help="write benchmarks/sources.md")
    options.add_argument("--one", choices=sorted(MEASURES), help=argparse.SUPPRESS)
    asked = options.parse_args()
    rows = {"duckdb": asked.rows, "postgres": asked.postgres_rows, "spark": asked.spark_rows}
    if asked.one:
        path = write_long(asked.data, rows[asked.one])
        print(json.dumps(MEASURES[asked.one](path, asked.repeats)))
        return
    found, load = {}, os.getloadavg()[0]
    for engine, count in rows.items():
        if count:
            write_long(asked.data, count)
            done = subprocess.run(  # noqa: S603  # this file
                [sys.executable, __file__, "--one", engine, *sys.argv[1:]],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            found[engine] = (count, json.loads(done.stdout.splitlines()[-1]))
    about = (HERE / "sources.py").read_text().split('"""')[1].strip()
    page = (
        f"# Counting in engines\n\n    {command(asked)}\n\n{about}\n\n{report(found)}\n\n"
        f"Aim {AIM:g}, bar {BAR:g} times the scan, and at most {MAX_MB:,} MB. {os.cpu_count()} cores, "
        f"{memory_gb():.0f} GB, load {load:.1f} before the first engine; median of {asked.repeats}; "
        f"measured {time.strftime('%Y-%m-%d')}.\n"
    )
    print(page)
    if asked.write:
        (HERE / "sources.md").write_text(page)


def command(asked: argparse.Namespace) -> str:
    """Return the command that repeats this run."""
    sizes = f"--rows {asked.rows:_} --postgres-rows {asked.postgres_rows:_} --spark-rows {asked.spark_rows:_}"
    return f"python benchmarks/sources.py {sizes} --repeats {asked.repeats} --write"


def memory_gb() -> float:
    """Return the memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


if __name__ == "__main__":
    main()
