"""Measure how long the pages of model health take with 200 models, over HTTP and in a browser.

    python benchmarks/fleet_page.py             200 models with 90 days of hourly windows of 30 features each
    python benchmarks/fleet_page.py --write     the same, into fleet_page.md

The data come from the ledger alone, so this serves the gateway's application in this process. The figures are
those of a request after a first one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
import uvicorn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from health_story import END, HOUR, record, report, summary  # noqa: E402  # from the tests' folder
from homeostat.adapters import fake_ports, open_ledger  # noqa: E402
from homeostat.adapters.clock import FakeClock  # noqa: E402
from homeostat.adapters.ledger_tables import RECORDS, make_engine  # noqa: E402
from homeostat.config import Settings  # noqa: E402
from homeostat.core.model_health import FeatureEffect  # noqa: E402
from homeostat.core.rollout import VersionRef, promote  # noqa: E402
from homeostat.serving import Options, create_app  # noqa: E402

FEATURES = 30
REPEATS = 9


def fill(url: str, models: int, windows: int) -> None:
    """Write the models and their windows, all at once: one body per model serves for all of its windows."""
    ledger, chance = open_ledger(url), random.Random(7)  # noqa: S311  # a fixed seed, no secret
    engine = make_engine(url)
    for number in range(models):
        name = f"model_{number:03d}"
        at = END - (windows + 1) * HOUR
        step = promote(ledger.read(name), VersionRef("2", f"{number:064x}"), at, "first version")
        ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=at)
        bad = number % 9 == 0
        effects = {
            f"feature_{i:02d}": FeatureEffect(round(chance.random(), 4), "pass") for i in range(FEATURES)
        }
        made = record(performance="alert" if bad else "pass", score=0.5 if bad else 0.75)
        found = summary(made, report(made.performance, made.score), features=effects).to_json()
        body, rows = json.dumps(found), []
        for hours in range(windows):
            end = END - hours * HOUR
            text = body.replace(END.isoformat(), end.isoformat())
            key = {"model": name, "kind": "window", "key": end.isoformat(), "body": text}
            rows.append(key | {"at": round(end.timestamp() * 1000), "rank": chance.randrange(4)})
        with engine.begin() as db:
            db.execute(sa.insert(RECORDS), rows)
    ledger.close()
    engine.dispose()


def serve(url: str, home: Path) -> tuple[uvicorn.Server, str]:
    """Serve the gateway's application with this ledger on a free port."""
    ports = fake_ports(ledger=open_ledger(url), clock=FakeClock(END + timedelta(minutes=30)))
    settings = Settings.from_env({"HOMEOSTAT_HOME": str(home)})
    app = create_app({}, ports, settings, Options())
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


def requests(base: str) -> list[dict[str, Any]]:
    """Return the median time and the size of each answer of the API."""
    found = []
    paths = [
        "/health/models",
        *(f"/health/models/model_000?range={name}" for name in ("7d", "30d", "90d", "all")),
    ]
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        for path in paths:
            client.get(path).raise_for_status()
            times = []
            for _ in range(REPEATS):
                start = time.perf_counter()
                answer = client.get(path)
                times.append(time.perf_counter() - start)
            found.append(
                {"what": f"`{path}`", "seconds": statistics.median(times), "bytes": len(answer.content)}
            )
    return found


def pages(base: str) -> list[dict[str, Any]]:
    """Return the median time until a page is drawn in Chromium; [] without one."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        return []
    found = []
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        for path, shows in (("/fleet", "tbody tr"), ("/fleet?model=model_000", "figure canvas")):
            times = []
            for _ in range(REPEATS):
                page, sizes = browser.new_page(), []
                page.on("response", lambda answer, sizes=sizes: sizes.append(_length(answer)))
                start = time.perf_counter()
                page.goto(base + path)
                page.wait_for_selector(shows)
                times.append(time.perf_counter() - start)
                size = sum(sizes)
                page.close()
            found.append(
                {"what": f"`{path}`, until it is drawn", "seconds": statistics.median(times), "bytes": size}
            )
        browser.close()
    return found


def _length(answer: Any) -> int:
    return int(answer.headers.get("content-length", 0))


def main() -> None:
    """Measure, print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument(
        "--ledger", default="", help="a PostgreSQL ledger; default: SQLite in a temporary folder"
    )
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = args.ledger or f"sqlite:///{folder}/ledger.db"
        fill(url, args.models, 24 * args.days)
        server, base = serve(url, Path(folder))
        rows = [*requests(base), *pages(base)]
        server.should_exit = True
    lines = [
        f"{args.models} models, {args.days} days of hourly windows, {FEATURES} features;",
        f"{url.partition(':')[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f};",
        f"medians of {REPEATS}.",
        "",
        "| what | seconds | KB |",
        "|---|---:|---:|",
        *(f"| {row['what']} | {row['seconds']:.3f} | {row['bytes'] / 1024:.0f} |" for row in rows),
    ]
    print("\n".join(lines))
    if args.write:
        command = " ".join(["benchmarks/fleet_page.py", *sys.argv[1:]])
        head = f"# The pages of model health\n\n    python {command}\n\n"
        stamp = f"\nMeasured {datetime.now(UTC):%Y-%m-%d}.\n"
        (HERE / "fleet_page.md").write_text(head + "\n".join(lines) + "\n" + stamp, encoding="utf-8")


if __name__ == "__main__":
    main()
