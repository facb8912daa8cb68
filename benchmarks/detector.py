"""A cold start of the drift detector: seconds of imports, seconds and requests of a check, peak memory.

    PYTHONPATH=include:tests:tests/aws_lambda python benchmarks/detector.py [--write] [--runs 9] [--rows 5000]

Each run is a fresh interpreter that imports the handler and checks one window of a small model (2 numbers, 1
category, two champions, labels one hour late), with S3 and SQS by moto on loopback: what AWS adds in time is
not in it, nor is the start of a container. Beside it, in the same round, what a check in Airflow imports
besides: MLflow and scikit-learn.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import boto3
from detector_world import Both, both_sides, event, train_two
from fault_proxy import proxy_for
from moto.server import ThreadedMotoServer

from homeostat.adapters import open_store, open_triggers

HERE = Path(__file__).resolve().parent
FRESH = HERE.parent / "tests/aws_lambda/cold_start.py"
#: What imports may take.
ALLOWED_SECONDS = 3.0
WINDOW_HOURS = 4
BESIDES = """
import time
began = time.perf_counter()
import mlflow, sklearn.ensemble, skops.io
print(time.perf_counter() - began)
"""


def fresh(command: Sequence[str], env: dict[str, str]) -> str:
    """The last line that a fresh interpreter writes."""
    done = subprocess.run(  # noqa: S603  # our own script, with our own events
        [sys.executable, *command], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def requests_of(both: Both, seen: list[tuple[str, str]], hour: int) -> Counter[str]:
    """What one check asks of S3 and SQS, by kind, when the windows before it have been checked."""
    seen.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        both.check(hour)
    kinds = Counter[str]()
    for method, path in seen:
        listing = "list-type=2" in path
        kinds["SQS" if path == "/" else "LIST" if listing else method] += 1
    return kinds


def measure(runs: int, rows: int) -> tuple[list[dict[str, Any]], list[float], Counter[str]]:
    """Each fresh interpreter's own account, the seconds of what it leaves out, a warm check's requests."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        with tempfile.TemporaryDirectory() as folder, proxy_for(f"http://{host}:{port}") as proxy:
            os.environ["AWS_ENDPOINT_URL"] = proxy.url
            boto3.client("s3").create_bucket(Bucket="bench")
            made = boto3.client("sqs").create_queue(QueueName="bench.fifo", Attributes={"FifoQueue": "true"})
            store = f"s3://bench/{uuid.uuid4().hex[:8]}"
            both = both_sides(
                train_two(Path(folder) / "toy"), open_store(store), open_triggers(made["QueueUrl"])
            )
            both.serve(0, 2 * WINDOW_HOURS + runs, per_hour=rows // WINDOW_HOURS)
            both.publish()
            env = os.environ | {"HOMEOSTAT_STORE": store, "HOMEOSTAT_TRIGGERS": made["QueueUrl"]}
            env["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
            told, besides = [], []
            for run in range(runs):
                sent = json.dumps(event("toy", WINDOW_HOURS + run))
                told.append(json.loads(fresh([str(FRESH), sent], env)))
                besides.append(float(fresh(["-c", BESIDES], env)))
            requests_of(both, proxy.seen, WINDOW_HOURS + runs)  # so that the container is warm
            return told, besides, requests_of(both, proxy.seen, WINDOW_HOURS + runs + 1)
    finally:
        server.stop()


def table(told: list[dict[str, Any]], besides: list[float], requests: Counter[str], rows: int) -> str:
    """What was found, as Markdown."""

    def row(name: str, values: list[float], unit: str) -> str:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"| {name} | {middle:.2f} {unit} | {low:.2f} to {high:.2f} |"

    imports = [each["import_seconds"] for each in told]
    where = f"Python {sys.version.split()[0]} on {os.cpu_count()} cores"
    ratio = [alone / (alone + more) for alone, more in zip(imports, besides, strict=True)]
    return "\n".join(
        [
            f"Median of {len(told)} fresh interpreters, {where}; {rows} rows in {WINDOW_HOURS} hours.",
            "",
            "| | median | range |",
            "|---|---:|---:|",
            row(f"imports (allowed: {ALLOWED_SECONDS:g} s)", imports, "s"),
            row("of what they would take with MLflow and scikit-learn", [100 * r for r in ratio], "%"),
            row("the first check, clients included", [each["check_seconds"] for each in told], "s"),
            row("peak memory", [each["peak_mb"] for each in told], "MB"),
            "",
            "Requests of one check in a warm container, the windows before it checked: "
            + ", ".join(f"{count} {kind}" for kind, count in sorted(requests.items()))
            + ".",
        ]
    )


def main() -> None:
    """Print the table; keep it with ``--write``. Fails when imports take longer than they may."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=9, help="fresh interpreters")
    parser.add_argument("--rows", type=int, default=5000, help="rows in a window")
    parser.add_argument("--write", action="store_true", help="into benchmarks/detector.md")
    args = parser.parse_args()
    told, besides, requests = measure(args.runs, args.rows)
    text = table(told, besides, requests, args.rows)
    print(text)
    if args.write:
        asked = f"--write --runs {args.runs} --rows {args.rows}"
        command = f"PYTHONPATH=include:tests:tests/aws_lambda python benchmarks/detector.py {asked}"
        about = (__doc__ or "").rpartition("\n\n")[2].strip()
        page = f"# A cold start of the drift detector\n\nMade by `{command}`.\n\n{about}\n\n{text}\n"
        (HERE / "detector.md").write_text(page, encoding="utf-8")
    slow = statistics.median(each["import_seconds"] for each in told)
    if slow > ALLOWED_SECONDS:
        sys.exit(f"imports take {slow:.1f} s, more than the {ALLOWED_SECONDS:g} s that they may")


if __name__ == "__main__":
    main()
