"""Simulate an hour of many models: Airflow's scheduler on PostgreSQL, MLflow, and one drift check per model.

    python benchmarks/fleet.py                     20, 200 and 1,000 models, each for at most 60 minutes
    python benchmarks/fleet.py --write             the same, into fleet.md
    python benchmarks/fleet.py --models 20         one size

The models come from the template of `homeostat new`, with hourly checks of 24 hours of 60 rows each. All have
had a check before. Their DAGs are those of `dags/`. The scheduler starts when the DAGs are parsed, and makes
up for the hour that was missed, as after an outage: one scheduled run per model, all due at once, as fast as
possible. Nothing is mocked. There is no gateway: its log is written beforehand.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "include"))

import fleet_models  # noqa: E402
from fleet_measure import Sample, Steady, longest_gap, per_check, steady  # noqa: E402
from fleet_platform import DATABASES, FleetPlatform, platform  # noqa: E402
from fleet_table import lines_of  # noqa: E402

SIZES = (20, 200, 1000)
SAMPLE_SECONDS = 2.0
_DONE = """
select count(distinct dag_id) from dag_run
where dag_id like 'drift\\_check\\_\\_%' and state in ('success', 'failed')
"""
_PARSED = "select count(*) from dag where dag_id like 'drift\\_check\\_\\_%' and not is_stale"
_RETRAINS = "select count(*) from dag_run where dag_id like 'retrain\\_\\_%'"
_TASKS = """
select task_id, state, try_number,
       extract(epoch from queued_dttm - scheduled_dttm), extract(epoch from start_date - queued_dttm),
       extract(epoch from end_date - start_date)
from task_instance where dag_id like 'drift\\_check\\_\\_%'
"""
_RUNS = """
select state, extract(epoch from queued_at - :began), extract(epoch from start_date - queued_at),
       extract(epoch from end_date - start_date)
from dag_run where dag_id like 'drift\\_check\\_\\_%'
"""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a check: seconds from scheduled to queued, from there to its start, and that it ran.

    None where it has not come to that.
    """

    name: str
    state: str | None
    tries: int
    lag: float | None
    queued: float | None
    ran: float | None


@dataclass(frozen=True, slots=True)
class Run:
    """A check: when it was made, in seconds since the scheduler's start, and how long it waited and took."""

    state: str
    made: float
    waited: float | None
    took: float | None


@dataclass(frozen=True, slots=True)
class Measured:
    """What one size has shown; sizes are in bytes, times in seconds."""

    models: int
    prepared: float
    parsed: float
    parse: float
    idle: dict[str, float]
    lasted: float
    tasks: list[Task]
    runs: list[Run]
    steady: Steady | None
    heartbeat_gap: float
    growth: dict[str, float]
    sizes: dict[str, int]
    dag_versions: int
    retrains: int
    others: float
    parallelism: int
    postgres: str

    @property
    def done(self) -> int:
        """Checks that ended."""
        return sum(run.state in ("success", "failed") for run in self.runs)

    @property
    def failed(self) -> int:
        """Checks that failed."""
        return sum(run.state == "failed" for run in self.runs)

    @property
    def retried(self) -> int:
        """Tasks that were tried more than once."""
        return sum(task.tries > 1 for task in self.tasks)

    @property
    def slot_seconds(self) -> float:
        """How long a check occupies a slot: in the steady part all slots are busy."""
        return self.parallelism / self.steady.rate if self.steady else 0.0

    def ran(self, name: str) -> list[float | None]:
        """Return how long the tasks of this name ran."""
        return [task.ran for task in self.tasks if task.name == name]


def measure(models: int, minutes: float, rows: int, parallelism: int, say: Callable[[str], None]) -> Measured:
    """Simulate one size."""
    with platform(models, parallelism) as fleet:
        began = time.monotonic()
        now = datetime.now(UTC)
        names = fleet_models.write_folders(fleet.folder / "models", models)
        champion = fleet_models.train(fleet.settings, names[0], now)
        fleet_models.copy_champion(fleet.settings, champion, names[1:], now)
        fleet_models.write_log(fleet.settings, champion, names, now, rows)
        say("folders, versions and logs are written")
        fleet_models.check_the_hour_before(fleet.settings, names, now)
        prepared = time.monotonic() - began
        say(f"{models} models have had a check after {prepared:.0f} s")
        began = time.monotonic()
        fleet.airflow("triggerer")
        fleet.airflow("dag-processor")
        fleet.until(lambda: fleet.query("airflow", _PARSED)[0][0] >= models, "the DAGs are parsed", 900)
        parsed = time.monotonic() - began
        if broken := fleet.query("airflow", "select count(*) from dag_tag where name = 'broken'")[0][0]:
            sys.exit(f"{broken} DAGs are broken:\n{fleet.services['dag-processor'].last_lines(40)}")
        say(f"the DAGs are parsed after {parsed:.0f} s")
        idle = _idle(fleet)
        before = sizes(fleet)
        others, clock = _others(fleet), time.monotonic()
        samples, beats, start, lasted = _run(fleet, models, minutes * 60, say)
        others = (_others(fleet) - others) / (time.monotonic() - clock)
        end = datetime.now(UTC)
        fleet.require_alive()
        tasks = [
            Task(name, state, tries, *map(_number, rest))
            for name, state, tries, *rest in fleet.query("airflow", _TASKS)
        ]
        runs = [
            Run(state, float(made), _number(waited), _number(took))
            for state, made, waited, took in fleet.query("airflow", _RUNS, began=start)
        ]
        after = sizes(fleet)
        done = max(1, sum(run.state in ("success", "failed") for run in runs))
        return Measured(
            models=models,
            prepared=prepared,
            parsed=parsed,
            parse=float(fleet.query("airflow", "select max(last_parse_duration) from dag")[0][0] or 0),
            idle=idle,
            lasted=lasted,
            tasks=tasks,
            runs=runs,
            steady=steady(samples, samples[-1].checks),
            heartbeat_gap=longest_gap(beats, end) if beats else lasted,
            growth=per_check(before, after, done),
            sizes=after,
            dag_versions=int(fleet.query("airflow", "select count(*) from dag_version")[0][0]),
            retrains=int(fleet.query("airflow", _RETRAINS)[0][0]),
            others=max(0.0, others),
            parallelism=parallelism,
            postgres=fleet.postgres,
        )


def _others(fleet: FleetPlatform) -> float:
    """Return the CPU seconds that programs other than the platform and this one have used."""
    times = psutil.cpu_times()
    own = sum(psutil.Process().cpu_times()[:2])
    return float(
        sum(times)
        - times.idle
        - times.iowait
        - times.guest
        - times.guest_nice
        - own
        - sum(fleet.cpu().values())
    )


def _idle(fleet: FleetPlatform, seconds: float = 20.0) -> dict[str, float]:
    """Return the cores that each part keeps busy while there is nothing to do and nothing is parsed."""
    first = fleet.cpu()
    time.sleep(seconds)
    return {part: (used - first.get(part, 0.0)) / seconds for part, used in fleet.cpu().items()}


def _run(
    fleet: FleetPlatform, models: int, limit: float, say: Callable[[str], None]
) -> tuple[list[Sample], list[datetime], datetime, float]:
    """Start the scheduler; return samples, its heartbeats, its start, and seconds until the end."""
    start, began = datetime.now(UTC), time.monotonic()
    fleet.airflow("scheduler")
    samples: list[Sample] = []
    beats: set[datetime] = set()
    said = began
    while True:
        time.sleep(SAMPLE_SECONDS)
        fleet.require_alive()
        found = fleet.query("airflow", "select latest_heartbeat from job where job_type = 'SchedulerJob'")
        beats |= {row[0] for row in found if row[0] is not None}
        done, passed = int(fleet.query("airflow", _DONE)[0][0]), time.monotonic() - began
        samples.append(Sample(passed, done, fleet.cpu()))
        if time.monotonic() - said > 60:
            said = time.monotonic()
            say(f"{done} of {models} checks after {passed:.0f} s")
        if done >= models or passed > limit:
            return samples, sorted(beats), start, passed


def sizes(fleet: FleetPlatform) -> dict[str, int]:
    """Return the bytes of each database and folder."""
    found = {
        f"{name} database": int(fleet.query(name, "select pg_database_size(current_database())")[0][0])
        for name in DATABASES
    }
    folders = {"store": fleet.store, "MLflow artifacts": fleet.folder / "artifacts"}
    folders["Airflow task logs"] = fleet.folder / "state" / "logs" / "tasks"
    return found | {name: _folder_size(folder) for name, folder in folders.items()}


def _folder_size(folder: Path) -> int:
    total = 0
    for root, _, files in os.walk(folder):
        for name in files:
            total += os.lstat(os.path.join(root, name)).st_size  # noqa: PTH118  # many thousands of files
    return total


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, and write them if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--minutes", type=float, default=60, help="of one size, after which it is stopped")
    parser.add_argument("--rows", type=int, default=60, help="of a model and hour")
    parser.add_argument("--parallelism", type=int, default=4, help="task slots of the LocalExecutor")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args(arguments)
    began, found, load = time.monotonic(), [], os.getloadavg()[0]

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {text}", file=sys.stderr, flush=True)

    for models in args.models:
        found.append(measure(models, args.minutes, args.rows, args.parallelism, say))
        print("\n".join(lines_of(found[-1:], args, load)), flush=True)
    if args.write:
        command = " ".join(["benchmarks/fleet.py", *sys.argv[1:]])
        head = f"# An hour of many models\n\n    python {command}\n\n"
        text = "\n".join(lines_of(found, args, load))
        stamp = f"\n\nMeasured {datetime.now(UTC):%Y-%m-%d}.\n"
        (HERE / "fleet.md").write_text(head + text + stamp, encoding="utf-8")


if __name__ == "__main__":
    main()
