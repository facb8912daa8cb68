"""Measure how long Airflow takes to parse the DAG file of many models, and of one task among them.

    python benchmarks/dag_parse.py             20, 200 and 1,000 models
    python benchmarks/dag_parse.py --write     the same, into dag_parse.md

Each figure is of processes of their own, as Airflow has one per parse: after Airflow's imports, the DAG file
is executed and its DAGs are put into a bag. A task's parse has Airflow's parsing context. Seconds are of the
process's CPU, which other programs of the machine change little, and of the clock.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SIZES = (20, 200, 1000)
#: Limits in seconds of CPU: all models, and one task's own parse.
ALL, ONE = 10.0, 1.0

PARSE = """
import json, os, sys, time
from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.processor import _serialize_dags
import airflow.providers.standard.operators.python, structlog
folder = os.environ["AIRFLOW__CORE__DAGS_FOLDER"]
clocks = [(time.perf_counter(), time.process_time())]
bag = BundleDagBag(dag_folder=folder + "/homeostat_models.py", bundle_path=folder, load_op_links=False)
clocks.append((time.perf_counter(), time.process_time()))
assert not bag.import_errors, bag.import_errors
if "whole" in sys.argv:
    found, errors = _serialize_dags(bag, structlog.get_logger())
    assert not errors, errors
clocks.append((time.perf_counter(), time.process_time()))
print(json.dumps({"dags": len(bag.dags), "clocks": clocks}))
"""


def write_models(folder: Path, number: int) -> None:
    """Write so many copies of the example with 11 features, in ten subfolders."""
    text = (ROOT / "include" / "models" / "bike_demand" / "model.yaml").read_text(encoding="utf-8")
    for n in range(number):
        name = f"model_{n:04d}"
        path = folder / f"team_{n % 10}" / name
        path.mkdir(parents=True)
        (path / "model.yaml").write_text(text.replace("bike_demand", name), encoding="utf-8")


def parse(folder: Path, home: Path, *arguments: str, dag_id: str = "") -> tuple[int, list[list[float]]]:
    """Return the number of DAGs, and clock and CPU before the parse, after it, and after serialising."""
    env = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "600",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}",
        "HOMEOSTAT_MODELS": str(folder),
    }
    if dag_id:
        env["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = dag_id
    command = [sys.executable, "-W", "ignore", "-c", PARSE, *arguments]
    done = subprocess.run(  # noqa: S603  # this file's own code
        command, env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    found = json.loads(done.stdout.splitlines()[-1])
    return found["dags"], found["clocks"]


def measure(number: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Return (CPU, clock) in seconds of each repeat, by what was done."""
    found: dict[str, list[tuple[float, float]]] = {"all": [], "serialise": [], "task": []}
    with tempfile.TemporaryDirectory() as place:
        folder, home = Path(place) / "models", Path(place) / "airflow"
        write_models(folder, number)
        for _ in range(repeats):
            dags, clocks = parse(folder, home, "whole")
            _require(dags, 2 * number + 1)
            found["all"].append(_between(clocks[0], clocks[1]))
            found["serialise"].append(_between(clocks[1], clocks[2]))
            dags, clocks = parse(folder, home, dag_id=f"retrain__model_{number // 2:04d}")
            _require(dags, 1)
            found["task"].append(_between(clocks[0], clocks[1]))
    return found


def _require(found: int, wanted: int) -> None:
    if found != wanted:
        msg = f"the file has {found} DAGs, expected {wanted}"
        raise SystemExit(msg)


def _between(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    return second[1] - first[1], second[0] - first[0]


def table(found: Mapping[int, Mapping[str, list[tuple[float, float]]]]) -> list[str]:
    """Return the rows of the table: medians of CPU seconds with the least and the most, and of the clock."""
    names = {
        "all": f"parse the file with all DAGs (limit {ALL:g} s)",
        "serialise": "then serialise them, as the DAG processor does",
        "task": f"a task's own parse (limit {ONE:g} s)",
    }
    rows = [
        "| models | what | CPU s, median (range) | times the row before | clock s |",
        "|---:|---|---:|---:|---:|",
    ]
    for what, title in names.items():
        before = 0.0
        for number, times in found.items():
            cpu = [each[0] for each in times[what]]
            clock = statistics.median(each[1] for each in times[what])
            middle = statistics.median(cpu)
            ratio = f"{middle / before:.2f}" if before else ""
            spread = f"{middle:.2f} ({min(cpu):.2f} to {max(cpu):.2f})"
            rows.append(f"| {number:,} | {title} | {spread} | {ratio} | {clock:.2f} |")
            before = middle
    return rows


def main() -> None:
    """Measure, print the table, write it if asked; exit with status 1 when a limit does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found = {number: measure(number, args.repeats) for number in args.models}
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {args.repeats} processes for each figure.",
        "",
        *table(found),
    ]
    print("\n".join(lines))
    if args.write:
        command = " ".join(["benchmarks/dag_parse.py", *sys.argv[1:]])
        head = f"# Parsing the DAGs of many models\n\n    python {command}\n\n"
        stamp = f"\nMeasured {datetime.now(UTC):%Y-%m-%d}.\n"
        (HERE / "dag_parse.md").write_text(head + "\n".join(lines) + "\n" + stamp, encoding="utf-8")
    missed = [
        f"{number} models, {what}: {middle:.2f} s"
        for number, times in found.items()
        for what, limit in (("all", ALL), ("task", ONE))
        if (middle := statistics.median(cpu for cpu, _ in times[what])) > limit
    ]
    sys.exit("\n".join(missed) if missed else 0)


if __name__ == "__main__":
    main()
