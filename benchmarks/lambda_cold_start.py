"""Cold start of the drift-check Lambda function: import time, check time, requests, peak memory.

    PYTHONPATH=include:tests python benchmarks/lambda_cold_start.py [--write] [--runs 9] [--rows 5000]

Each run is a fresh interpreter that imports the handler and checks one window of a small model (2 numbers, 1
category, two champions, labels one hour late), with S3 and SQS by moto on loopback: AWS's latency and the
start of a container are not included. In the same round, a second interpreter measures the additional imports
of a check in Airflow: MLflow and scikit-learn.
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
from moto.server import ThreadedMotoServer

from aws_lambda.aws_fault_proxy import proxy_for
from aws_lambda.lambda_fixture import LambdaDeployment, event, make_deployment, train_two_champions
from homeostat.adapters import open_store, open_trigger_queue

HERE = Path(__file__).resolve().parent
COLD_START = HERE.parent / "tests/aws_lambda/cold_start.py"
#: Limit for the imports.
MAX_IMPORT_SECONDS = 3.0
WINDOW_HOURS = 4
AIRFLOW_IMPORTS = """
import time
start = time.perf_counter()
import mlflow, sklearn.ensemble, skops.io
print(time.perf_counter() - start)
"""


def run_fresh(command: Sequence[str], env: dict[str, str]) -> str:
    """Run a fresh interpreter; return its last line of output."""
    done = subprocess.run(  # noqa: S603  # our own script, with our own events
        [sys.executable, *command], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def count_requests(deployment: LambdaDeployment, seen: list[tuple[str, str]], hour: int) -> Counter[str]:
    """Count the requests of one check to S3 and SQS by kind, after the previous windows were checked."""
    seen.clear()
    with contextlib.redirect_stdout(io.StringIO()):
        deployment.check(hour)
    kinds = Counter[str]()
    for method, path in seen:
        listing = "list-type=2" in path
        kinds["SQS" if path == "/" else "LIST" if listing else method] += 1
    return kinds


def measure(runs: int, rows: int) -> tuple[list[dict[str, Any]], list[float], Counter[str]]:
    """Return the reports of fresh interpreters, the seconds of MLflow's imports, a warm check's requests."""
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
            deployment = make_deployment(
                train_two_champions(Path(folder) / "sample"),
                open_store(store),
                open_trigger_queue(made["QueueUrl"]),
            )
            deployment.serve(0, 2 * WINDOW_HOURS + runs, per_hour=rows // WINDOW_HOURS)
            deployment.publish_state()
            env = os.environ | {"HOMEOSTAT_STORE": store, "HOMEOSTAT_TRIGGERS": made["QueueUrl"]}
            env["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
            reports, additional = [], []
            for run in range(runs):
                sent = json.dumps(event("sample", WINDOW_HOURS + run))
                reports.append(json.loads(run_fresh([str(COLD_START), sent], env)))
                additional.append(float(run_fresh(["-c", AIRFLOW_IMPORTS], env)))
            count_requests(deployment, proxy.seen, WINDOW_HOURS + runs)  # warm-up
            return reports, additional, count_requests(deployment, proxy.seen, WINDOW_HOURS + runs + 1)
    finally:
        server.stop()


def table(reports: list[dict[str, Any]], additional: list[float], requests: Counter[str], rows: int) -> str:
    """Return the results as Markdown."""

    def row(name: str, values: list[float], unit: str) -> str:
        low, middle, high = min(values), statistics.median(values), max(values)
        return f"| {name} | {middle:.2f} {unit} | {low:.2f} to {high:.2f} |"

    imports = [each["import_seconds"] for each in reports]
    where = f"Python {sys.version.split()[0]} on {os.cpu_count()} cores"
    ratio = [alone / (alone + more) for alone, more in zip(imports, additional, strict=True)]
    return "\n".join(
        [
            f"Median of {len(reports)} fresh interpreters, {where}; {rows} rows in {WINDOW_HOURS} hours.",
            "",
            "| | median | range |",
            "|---|---:|---:|",
            row(f"imports (limit: {MAX_IMPORT_SECONDS:g} s)", imports, "s"),
            row("share of the imports with MLflow and scikit-learn", [100 * r for r in ratio], "%"),
            row("the first check, clients included", [each["check_seconds"] for each in reports], "s"),
            row("peak memory", [each["peak_mb"] for each in reports], "MB"),
            "",
            "Requests of one check in a warm container, after the previous windows were checked: "
            + ", ".join(f"{count} {kind}" for kind, count in sorted(requests.items()))
            + ".",
        ]
    )


def main() -> None:
    """Print the table; save it with ``--write``. Fail when the imports exceed their limit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--runs", type=int, default=9, help="fresh interpreters")
    parser.add_argument("--rows", type=int, default=5000, help="rows in a window")
    parser.add_argument("--write", action="store_true", help="save to benchmarks/lambda_cold_start.md")
    args = parser.parse_args()
    reports, additional, requests = measure(args.runs, args.rows)
    text = table(reports, additional, requests, args.rows)
    print(text)
    if args.write:
        options = f"--write --runs {args.runs} --rows {args.rows}"
        command = f"PYTHONPATH=include:tests python benchmarks/lambda_cold_start.py {options}"
        about = (__doc__ or "").rpartition("\n\n")[2].strip()
        page = (
            f"# Cold start of the drift-check Lambda function\n\nMade by `{command}`.\n\n{about}\n\n{text}\n"
        )
        (HERE / "lambda_cold_start.md").write_text(page, encoding="utf-8")
    slow = statistics.median(each["import_seconds"] for each in reports)
    if slow > MAX_IMPORT_SECONDS:
        sys.exit(f"imports take {slow:.1f} s, more than the limit of {MAX_IMPORT_SECONDS:g} s")


if __name__ == "__main__":
    main()
