"""Measure whether monitoring in MLflow becomes slower with age: a year of hourly windows beside a week.

    python benchmarks/mlflow_history.py --models 20          fewer models, for a try
    python benchmarks/mlflow_history.py --write              200 models, a year, into mlflow_history.md

A real MLflow server on a real PostgreSQL. One day of one model is recorded by Homeostat's own adapter; the
database copies it for every model and day, so that all rows are what a check writes. Measured are one check's
part in MLflow, the history query of a check, the request behind the page that lists runs, and that page in
Chromium where Playwright and Chromium are installed.

Fails where a year takes more than twice as long as a week: for the same number of windows and runs the work
is the same, so that a larger factor is growth. Each figure is the least of its repeats, since other processes
only add to it. A page of 100 runs, which a week does not have, is shown without a bar.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "include"))

from rollback_fixture import database, free_port, until  # noqa: E402  # beside this file

BAR = 2.0
WEEK = 7
#: The look-back of a check with the default trigger: a cooldown of a day, times 4, times the back-off of 8.
LOOKBACK = timedelta(days=32)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
TEMPLATE = "template"
_PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(40_000)

_TEMPLATE = """
  SELECT r.run_uuid
  FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid JOIN experiments e USING (experiment_id)
  WHERE t.key = '{tag}' AND e.name = 'template/monitoring'
"""
# Copies the template's day for models and days; a run's id is the digest of both.
_COPY = """
CREATE TEMP TABLE made AS
  SELECT m.model, e.experiment_id, d.day, t.run_uuid AS template,
         md5(m.model || '/day/' || d.day) AS run_uuid, d.day * 86400000::bigint AS shift
  FROM generate_series(0, {models} - 1) AS n
  CROSS JOIN LATERAL (SELECT 'model_' || n AS model) AS m
  JOIN experiments e ON e.name = m.model || '/monitoring'
  CROSS JOIN generate_series({first}, {last} - 1) AS d(day)
  CROSS JOIN ({template}) AS t;
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
                  end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
  SELECT made.run_uuid, replace(r.name, '2026-01-01', to_char(date '2026-01-01' + made.day, 'YYYY-MM-DD')),
         r.source_type, r.source_name, r.entry_point_name, r.user_id, r.status, r.start_time + shift,
         r.end_time + shift, r.source_version, r.lifecycle_stage,
         replace(r.artifact_uri, r.run_uuid, made.run_uuid), made.experiment_id
  FROM made JOIN runs r ON r.run_uuid = made.template;
INSERT INTO tags (key, value, run_uuid)
  SELECT t.key, replace(t.value, '2026-01-01', to_char(date '2026-01-01' + made.day, 'YYYY-MM-DD')),
         made.run_uuid
  FROM made JOIN tags t ON t.run_uuid = made.template;
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
  SELECT m.key, m.value, m.timestamp + shift, m.step + shift / 60000, m.is_nan, made.run_uuid
  FROM made JOIN metrics m ON m.run_uuid = made.template;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
  SELECT m.key, m.value, m.timestamp + shift, m.step + shift / 60000, m.is_nan, made.run_uuid
  FROM made JOIN latest_metrics m ON m.run_uuid = made.template;
"""
# The runs of months: one for each model and month, with the points of each of its days.
_MONTHS = """
CREATE TEMP TABLE months AS
  SELECT made.experiment_id, made.day, shift, t.run_uuid AS template,
         to_char(date '2026-01-01' + made.day, 'YYYY-MM') AS month,
         md5(made.model || '/month/' || to_char(date '2026-01-01' + made.day, 'YYYY-MM')) AS run_uuid
  FROM made CROSS JOIN ({template}) AS t;
INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,
                  end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
  SELECT DISTINCT months.run_uuid, 'month ' || month, r.source_type, r.source_name, r.entry_point_name,
         r.user_id, r.status, (extract(epoch FROM to_date(month, 'YYYY-MM')) * 1000)::bigint, r.end_time,
         r.source_version, r.lifecycle_stage, replace(r.artifact_uri, r.run_uuid, months.run_uuid),
         months.experiment_id
  FROM months JOIN runs r ON r.run_uuid = months.template ON CONFLICT DO NOTHING;
INSERT INTO tags (key, value, run_uuid)
  SELECT DISTINCT t.key, CASE WHEN t.key = 'homeostat.month' THEN month ELSE t.value END, months.run_uuid
  FROM months JOIN tags t ON t.run_uuid = months.template ON CONFLICT DO NOTHING;
INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
  SELECT m.key, m.value, m.timestamp + shift, m.step + shift / 60000, m.is_nan, months.run_uuid
  FROM months JOIN metrics m ON m.run_uuid = months.template ON CONFLICT DO NOTHING;
INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
  SELECT DISTINCT ON (m.key, months.run_uuid) m.key, m.value, m.timestamp + shift,
         m.step + shift / 60000, m.is_nan, months.run_uuid
  FROM months JOIN latest_metrics m ON m.run_uuid = months.template
  ORDER BY m.key, months.run_uuid, day DESC
  ON CONFLICT (key, run_uuid) DO UPDATE SET timestamp = excluded.timestamp, step = excluded.step;
DROP TABLE months;
DROP TABLE made;
"""


@contextlib.contextmanager
def mlflow_server(folder: Path, backend: str) -> Iterator[str]:
    """Serve MLflow on this database; yield its address."""
    import urllib.request

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", backend, "--workers", "2"]
    command += [
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    url = f"http://127.0.0.1:{port}"

    def healthy() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:  # noqa: S310  # ours
                return bool(answer.status == 200)
        except OSError:
            return False

    with (folder / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603  # our own command line
            command, stdout=log, stderr=log, env={**os.environ, **quiet}, cwd=folder, start_new_session=True
        )
    try:
        until(healthy, "MLflow answers", 180)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        server.wait(30)


def check(history: Any, model: str, end: datetime, features: int) -> None:
    """Record one window as a drift check does."""
    from homeostat.core.trigger import WindowRecord

    record = WindowRecord(
        end, "3", 5000, "pass", 0.1, "pass", 0.9, 0.01, reason="within_tolerance", labelled_rows=400
    )
    metrics = {"score_baseline": 0.91, "unlogged_labels": 0.0, "trigger/fired": 0.0, "trigger/probes": 0.0}
    metrics |= {"trigger/windows_in_a_row": 0.0, "trigger/unlearned_windows": 0.5}
    for n in range(features):
        metrics |= {f"effect/feature_{n}": end.hour / 100 + n / 1000, f"psi/feature_{n}": 0.01 + n / 1000}
    report = {
        "drift": {"reason": "1 of 11 features drifted"},
        "trigger": {"sentence": "No retrain: within tolerance."},
        "performance": {"reason": "accuracy 0.9, baseline 0.91", "metric_title": "accuracy"},
    }
    artifacts = {"report.json": json.dumps(report).encode()}
    artifacts |= dict.fromkeys(("drift_over_time.png", "reference_against_window.png"), _PICTURE)
    history.record(model, record, metrics=metrics, artifacts=artifacts)


def least(work: Callable[[int], Any], repeats: int) -> float:
    """Return the shortest of the repeats in milliseconds, after one that is not counted."""
    work(0)
    taken = []
    for n in range(1, repeats + 1):
        began = time.perf_counter()
        work(n)
        taken.append(time.perf_counter() - began)
    return 1000 * min(taken)


def page_in_browser(url: str, experiment: str, newest: str, repeats: int) -> float | None:
    """Return the milliseconds until the experiment's page shows its newest run; None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        return None
    address = f"{url}/#/experiments/{experiment}/runs?workflowType=machine_learning"
    with sync_playwright() as playwright:
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium has none as root
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})

        def visit(_: int) -> None:
            page.goto("about:blank")
            page.goto(address)
            page.get_by_text(newest).first.wait_for(timeout=120_000)

        found = least(visit, repeats)
        browser.close()
    return found


def measure(url: str, backend: str, days: int, features: int, repeats: int) -> dict[str, float | None]:
    """Return the milliseconds of each part with so many days of age, and the size of the database."""
    import requests
    import sqlalchemy as sa

    from homeostat.adapters.history_mlflow import MlflowHistory

    history, model = MlflowHistory(url), "model_0"
    last = FIRST + days * DAY  # the day after the newest full one
    found: dict[str, float | None] = {}
    check(history, model, last, features)
    experiment = history._mlflow.find_experiment(f"{model}/monitoring")  # noqa: SLF001  # to ask what the page asks
    found["check"] = least(lambda n: check(history, model, last + (n + 1) * HOUR / 12, features), repeats)
    found["week"] = least(lambda _: history.windows(model, since=last - (WEEK - 1) * DAY), repeats)
    found["lookback"] = least(lambda _: history.windows(model, since=last - LOOKBACK), repeats)

    def runs(most: int) -> Callable[[int], None]:
        body = {
            "experiment_ids": [experiment],
            "max_results": most,
            "order_by": ["attributes.start_time DESC"],
        }

        def ask(_: int) -> None:
            answer = requests.post(f"{url}/ajax-api/2.0/mlflow/runs/search", json=body, timeout=120)
            answer.raise_for_status()

        return ask

    found["list"] = least(runs(WEEK), repeats)
    found["list_100"] = least(runs(100), repeats)
    newest = history._mlflow.client.search_runs(  # noqa: SLF001  # the name that the page shows
        [experiment], "", max_results=1, order_by=["attributes.start_time DESC"]
    )[0]
    found["page"] = page_in_browser(url, str(experiment), newest.info.run_name, 3)
    engine = sa.create_engine(backend)
    with engine.connect() as db:
        found["bytes"] = float(db.scalar(sa.text("SELECT pg_database_size(current_database())")))
        found["runs"] = float(db.scalar(sa.text("SELECT count(*) FROM runs")))
        found["points"] = float(db.scalar(sa.text("SELECT count(*) FROM metrics")))
    engine.dispose()
    return found


def fill(backend: str, models: int, first: int, last: int) -> None:
    """Copy the template's day for these models and days, and bring the statistics up to date."""
    import sqlalchemy as sa

    engine = sa.create_engine(backend)
    for begin in range(first, last, 30):
        with engine.begin() as db:
            day, month = (_TEMPLATE.format(tag=f"homeostat.{each}") for each in ("day", "month"))
            span = _COPY.format(models=models, first=begin, last=min(begin + 30, last), template=day)
            for statement in (span + _MONTHS.format(template=month)).split(";"):
                if statement.strip():
                    db.exec_driver_sql(statement)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def run(
    models: int, days: int, features: int, repeats: int
) -> tuple[dict[int, dict[str, float | None]], str]:
    """Return what was measured at a week and at this age, and which database it was."""
    from homeostat.adapters.history_mlflow import MlflowHistory

    with tempfile.TemporaryDirectory() as place, database(Path(place)) as (backend, what):
        if not backend.startswith("postgresql"):
            sys.exit("PostgreSQL is not installed: apt-get install postgresql")
        with mlflow_server(Path(place), backend) as url:
            history = MlflowHistory(url)
            for hour in range(24):
                check(history, TEMPLATE, FIRST + hour * HOUR, features)
            for n in range(models):
                history._experiment(f"model_{n}")  # noqa: SLF001  # as the first check of a model makes it
            found, filled = {}, 0
            for age in (WEEK, days):
                fill(backend, models, filled, age)
                if filled:
                    _forget_measured(backend, filled)
                found[age] = measure(url, backend, age, features, repeats)
                filled = age
            return found, what


def _forget_measured(backend: str, day: int) -> None:
    """Delete the runs that were measured on this day, which has been copied meanwhile."""
    import sqlalchemy as sa

    engine = sa.create_engine(backend)
    at = int((FIRST + day * DAY).timestamp() * 1000)
    own = "SELECT run_uuid FROM runs WHERE start_time = %s AND run_uuid <> md5('model_0/day/' || %s::text)"
    own += " AND experiment_id = (SELECT experiment_id FROM experiments WHERE name = 'model_0/monitoring')"
    with engine.begin() as db:
        for table in ("metrics", "latest_metrics", "tags", "runs"):
            db.exec_driver_sql(f"DELETE FROM {table} WHERE run_uuid IN ({own})", (at, day))  # noqa: S608
    engine.dispose()


_PARTS = {
    "check": "recording one window",
    "week": "history of 7 days",
    "lookback": "history of 32 days, a check's look-back by default",
    "list": "the request that lists runs, 7 of them",
    "list_100": "the same, a page of 100",
    "page": "the experiment's page in Chromium",
}
_WITH_BAR = ("check", "week", "list")


def main() -> None:
    """Measure, print the table, write it if asked, and fail beyond the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--features", type=int, default=11)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    found, what = run(args.models, args.days, args.features, args.repeats)
    week, year = found[WEEK], found[args.days]
    scope = f"{args.models} models with {args.features} features"
    lines = [
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {what}, {scope}, hourly windows.",
        "",
        f"| | {WEEK} days, ms | {args.days} days, ms | ratio | bar |",
        "|---|---:|---:|---:|---:|",
    ]
    too_slow = []
    for name, title in _PARTS.items():
        before, after = week[name], year[name]
        if before is None or after is None:
            lines.append(f"| {title} | not measured: no browser | | | |")
            continue
        bar = f"{BAR:g}" if name in _WITH_BAR else ""
        lines.append(f"| {title} | {before:.0f} | {after:.0f} | {after / before:.2f} | {bar} |")
        if bar and after / before > BAR:
            too_slow.append(f"{title}: {after / before:.2f} times")
    size = {age: (each["bytes"] or 0, each["runs"] or 0, each["points"] or 0) for age, each in found.items()}
    lines += ["", "| age in days | runs | points | database, MB |", "|---:|---:|---:|---:|"]
    lines += [f"| {age} | {r:,.0f} | {p:,.0f} | {b / 1e6:,.0f} |" for age, (b, r, p) in size.items()]
    grown = (size[args.days][0] - size[WEEK][0]) / (args.days - WEEK) / args.models
    lines += ["", f"A model and day more: {grown / 1e3:.0f} kB of PostgreSQL. Files are not counted."]
    print("\n".join(lines))
    if args.write:
        command = " ".join(["benchmarks/mlflow_history.py", *sys.argv[1:]])
        head = f"# Monitoring in MLflow, a year beside a week\n\n    python {command}\n\n"
        stamp = (
            f"\nMeasured {datetime.now(UTC):%Y-%m-%d}. Each figure is the least of {args.repeats} repeats.\n"
        )
        (HERE / "mlflow_history.md").write_text(head + "\n".join(lines) + "\n" + stamp, encoding="utf-8")
    if too_slow:
        sys.exit("slower with age: " + "; ".join(too_slow))


if __name__ == "__main__":
    main()
