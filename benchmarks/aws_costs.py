"""Monthly costs of the AWS resources for 10 and for 100 models, with the arithmetic shown.

    python benchmarks/aws_costs.py             print the tables
    python benchmarks/aws_costs.py --measure   count a check's requests first, against moto (half a minute)
    python benchmarks/aws_costs.py --write     write the tables into docs/aws.md

A check's requests to S3 are counted: --measure writes them to aws_requests.json. Prices are list prices of
us-east-1 when this was written, without free tiers.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
COUNTS = HERE / "aws_requests.json"
PAGE = HERE.parent / "docs" / "aws.md"
BEGIN, END = "<!-- costs -->", "<!-- end of costs -->"
HOURS = 730  # of a month

#: Dollars per unit.
PRICES: dict[str, tuple[float, str]] = {
    "Lambda, time": (0.0000166667, "GB-second, x86"),
    "Lambda, calls": (0.20e-6, "call"),
    "X-Ray": (5e-6, "trace"),
    "EventBridge Scheduler": (1e-6, "start"),
    "SQS FIFO": (0.50e-6, "request"),
    "S3, writes and listings": (0.005e-3, "PUT or LIST"),
    "S3, reads": (0.0004e-3, "GET or HEAD"),
    "S3, storage": (0.023, "GB and month"),
    "CloudWatch, metrics": (0.30, "custom metric and month"),
    "CloudWatch, alarms": (0.10, "alarm and month"),
    "CloudWatch, dashboard": (3.00, "dashboard and month"),
    "CloudWatch, logs": (0.50, "GB ingested"),
    "KMS, key": (1.00, "key and month"),
    "KMS, use": (0.03e-4, "request"),
    "ECR": (0.10, "GB and month"),
    "Fargate, processors": (0.04048, "vCPU and hour"),
    "Fargate, memory": (0.004445, "GB and hour"),
    "Fargate, disk beyond 20 GB": (0.000111, "GB and hour"),
}


@dataclass(frozen=True)
class Usage:
    """Assumed usage, per model unless noted."""

    checks_an_hour: int = 1
    start_seconds: float = (
        3.0  # billed: container start, imports, computation; containers are rarely warm after an hour
    )
    request_seconds: float = 0.02  # per request to S3
    readers: int = 8  # log files read in parallel; all other requests are sequential
    flush_seconds: float = 5.0  # HOMEOSTAT_GATEWAY_FLUSH_SECONDS; one worker with constant traffic
    window_days: int = 2  # a window of 24 h touches two of the log's days
    stored_gb: float = 5.0  # per model: log, profiles, snapshots, bundles, old versions of objects
    log_kb_a_check: float = 8.0
    kms_a_check: int = 5
    retrains: int = 2  # per model and month
    retrain_hours: float = 0.5
    images_gb: float = 8.0

    @property
    def files(self) -> float:
        """Return the number of prediction log files, per model and hour."""
        return 3600 / self.flush_seconds


def lines(models: int, use: Usage, counts: dict[str, dict[str, float]]) -> list[tuple[str, str, float]]:
    """Return the name of each price, the arithmetic in words, and dollars a month."""
    checks = models * use.checks_an_hour * HOURS
    fixed, per_file = counts["fixed"], counts["per_file"]
    pages = use.window_days * math.ceil(24 * use.files / 1000)
    writes = checks * (fixed["writes"] + max(pages - use.window_days, 0))
    new_files = per_file["reads"] * use.files / use.checks_an_hour
    reads = checks * (fixed["reads"] + new_files)
    waits = (reads + writes) / checks - new_files * (1 - 1 / use.readers)
    seconds = use.start_seconds + waits * use.request_seconds
    written = models * HOURS * use.files
    polls = HOURS * 3600 / 21  # 20 s of long polling, then a pause of 1 s
    fargate = models * use.retrains * use.retrain_hours
    amounts: list[tuple[str, str, float]] = [
        (
            "Lambda, time",
            f"{checks:,} checks x {seconds:.0f} s x 1 GB",
            checks * seconds,
        ),
        ("Lambda, calls", f"{checks:,} checks", checks),
        ("X-Ray", f"{checks:,} checks", checks),
        ("EventBridge Scheduler", f"{checks:,} checks", checks),
        ("SQS FIFO", f"{polls:,.0f} polls, one per 21 s for all models", polls),
        (
            "S3, writes and listings",
            f"{written:,.0f} log files, and {writes:,.0f} by checks",
            written + writes,
        ),
        ("S3, reads", f"{checks:,} checks x {reads / checks:,.0f}", reads),
        ("S3, storage", f"{models} models x {use.stored_gb:g} GB", models * use.stored_gb),
        (
            "CloudWatch, metrics",
            f"{models} models x {counts['metrics']['each']:g}",
            models * counts["metrics"]["each"],
        ),
        ("CloudWatch, alarms", f"{models} for stopped checks, and 4", models + 4),
        ("CloudWatch, dashboard", "1", 1),
        (
            "CloudWatch, logs",
            f"{checks:,} checks x {use.log_kb_a_check:g} KB",
            checks * use.log_kb_a_check / 1024**2,
        ),
        ("KMS, key", "1", 1),
        ("KMS, use", f"{checks:,} checks x {use.kms_a_check}", checks * use.kms_a_check),
        ("ECR", f"{use.images_gb:g} GB of images", use.images_gb),
        ("Fargate, processors", f"{fargate:g} h x 4 vCPU", fargate * 4),
        ("Fargate, memory", f"{fargate:g} h x 16 GB", fargate * 16),
        ("Fargate, disk beyond 20 GB", f"{fargate:g} h x 30 GB", fargate * 30),
    ]
    return [(name, words, amount * PRICES[name][0]) for name, words, amount in amounts]


def tables(counts: dict[str, Any], use: Usage | None = None) -> str:
    """Return the tables of docs/aws.md."""
    use = use or Usage()
    few, many = lines(10, use, counts), lines(100, use, counts)
    out = ["| what | price | 10 models | a month | 100 models | a month |", "|---|---|---|---|---|---|"]
    for (name, words, cost), (_, more, sum_) in zip(few, many, strict=True):
        price, unit = PRICES[name]
        out.append(
            f"| {name} | ${_price(price)} per {unit} | {words} | ${cost:,.2f} | {more} | ${sum_:,.2f} |"
        )
    out.append(f"| **total** | | | **${_sum(few):,.0f}** | | **${_sum(many):,.0f}** |")
    slow = Usage(flush_seconds=60)
    less = [_sum(lines(models, slow, counts)) for models in (10, 100)]
    slower = (
        f"With `HOMEOSTAT_GATEWAY_FLUSH_SECONDS=60` on the gateways, {slow.files:.0f} files an hour instead "
        f"of {use.files:.0f}: ${less[0]:,.0f} and ${less[1]:,.0f}."
    )
    assumed = (
        f"Assumptions, per model: one check an hour, billed for {use.start_seconds:g} s, and "
        f"{use.request_seconds:g} s per request to S3, {use.readers} log files read in parallel; "
        f"one gateway worker with constant traffic; {use.stored_gb:g} GB stored; "
        f"{use.retrains} retrains a month of {use.retrain_hours:g} h each; "
        f"{use.kms_a_check} KMS requests and {use.log_kb_a_check:g} KB of logs "
        f"per check. Counted against moto: {counts['fixed']['reads']:.0f} reads and "
        f"{counts['fixed']['writes']:.0f} writes and listings per check, and "
        f"{counts['per_file']['reads']:.1f} reads per new prediction file; labels arrive in "
        "one file an hour. A listing returns 1,000 files."
    )
    out += ["", slower, "", assumed]
    return "\n".join(out)


def _price(price: float) -> str:
    return f"{price:.10f}".rstrip("0").rstrip(".") if price < 0.01 else f"{price:.5f}".rstrip("0").rstrip(".")


def _sum(rows: list[tuple[str, str, float]]) -> float:
    return sum(cost for *_, cost in rows)


READS = {"GetObject", "HeadObject"}
WRITES = {"PutObject", "ListObjectsV2"}


def measure() -> dict[str, Any]:
    """Run checks against moto with 1 and with 4 log files an hour; the difference gives the cost per file."""
    sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent / "include")]
    import os

    from moto.server import ThreadedMotoServer

    os.environ |= {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        os.environ["AWS_ENDPOINT_URL"] = f"http://{host}:{port}"
        few, many = (_per_check(files) for files in (1, 4))
    finally:
        server.stop()
    share = {kind: (many[kind] - few[kind]) / 3 for kind in ("reads", "writes")}
    from homeostat.aws.lambda_metrics import UNITS

    return {
        "fixed": {kind: round(few[kind] - share[kind], 2) for kind in share},
        "per_file": {kind: round(max(value, 0.0), 2) for kind, value in share.items()},
        "metrics": {"each": len(UNITS)},
        "seconds on this machine": round(few["seconds"], 2),
    }


def _per_check(files: int, hours: int = 8, warm: int = 6) -> dict[str, float]:
    """Return the mean requests of a check over ``hours``, after ``warm`` hours that filled the window."""
    import boto3
    from botocore.endpoint import Endpoint

    from aws_lambda.lambda_fixture import HOUR, T0, event, make_deployment, train_two_champions
    from homeostat.adapters import open_store, open_trigger_queue
    from homeostat.adapters.history_store import StoreHistory
    from homeostat.aws.lambda_handler import check_window

    bucket = f"costs-{files}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    queue = boto3.client("sqs").create_queue(QueueName=f"{bucket}.fifo", Attributes={"FifoQueue": "true"})
    with tempfile.TemporaryDirectory() as folder:
        trained = train_two_champions(Path(folder) / "sample")
        store = open_store(f"s3://{bucket}/store")
        deployment = make_deployment(trained, store, open_trigger_queue(queue["QueueUrl"]))
        deployment.publish_state()
        counted: Counter[str] = Counter()
        original, counting, seconds = Endpoint.make_request, False, 0.0

        def count(self: Any, operation: Any, request: Any) -> Any:
            if counting:
                counted[operation.name] += 1
            return original(self, operation, request)

        Endpoint.make_request = count  # type: ignore[method-assign]
        try:
            for hour in range(1, warm + hours + 1):
                for n in range(files):
                    deployment.serve(
                        hour - 1, hour, gateway=f"g{n}", per_hour=60 // files, seed=n, labels=n == 0
                    )
                end = T0 + hour * HOUR
                # A new container each hour, as in Lambda: nothing is cached.
                history = StoreHistory(store, lambda end=end: end)
                resources = replace(deployment.resources, history=history)
                start, counting = time.perf_counter(), hour > warm
                check_window(event("sample", hour), resources)
                seconds += (time.perf_counter() - start) * counting
                counting = False
        finally:
            Endpoint.make_request = original  # type: ignore[method-assign]
    unpriced = set(counted) - READS - WRITES - {"SendMessage"}
    if unpriced:
        msg = f"no price for these requests of a check: {sorted(unpriced)}"
        raise SystemExit(msg)
    kinds = {"reads": READS, "writes": WRITES}
    means = {kind: sum(counted[name] for name in names) / hours for kind, names in kinds.items()}
    return {**means, "seconds": seconds / hours}


def main() -> None:
    """Print the tables; measure and write on request."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--measure", action="store_true", help="count a check's requests again")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/aws.md")
    args = parser.parse_args()
    if args.measure:
        COUNTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    found = tables(json.loads(COUNTS.read_text(encoding="utf-8")))
    print(found)
    if args.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n{found}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
