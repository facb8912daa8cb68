"""What the simulation runs on: PostgreSQL, MLflow and Airflow, with the settings of docker-compose.yml.

Everything is stopped and deleted when the block ends, also on Ctrl-C, SIGTERM and errors.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa
from rollback_fixture import database

from homeostat.config import Settings
from homeostat.dev_stack.environment import HOST, Ports, local_settings, platform_env
from homeostat.dev_stack.processes import Service, free_port, start, stop
from homeostat.dev_stack.secrets_file import load_secrets, write_passwords
from homeostat.dev_stack.state_lock import orphan_reaper

ROOT = Path(__file__).resolve().parents[1]
#: Where docker-compose.yml leaves Airflow's default, and `homeostat up` does not.
AIRFLOW_DEFAULTS = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "300",
    "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "300",
}
#: From so many models on, what docs/scale.md says to set.
MANY = 200
FOR_MANY = {
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "300",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "60",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "100",
}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
DATABASES = ("airflow", "mlflow", "ledger")


@dataclass
class FleetPlatform:
    """The running parts: ``engines`` are the databases by name, ``env`` is every process's environment."""

    folder: Path
    settings: Settings
    env: dict[str, str]
    urls: dict[str, str]
    postgres: str
    services: dict[str, Service] = field(default_factory=dict)
    engines: dict[str, sa.Engine] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.folder / "store"

    def launch(self, name: str, *command: str) -> None:
        """Start a service in a session of its own."""
        self.services[name] = start(
            name,
            [sys.executable, "-m", *command],
            env=self.env,
            cwd=self.folder,
            logs=self.folder / "logs",
            records=self.folder / "run",
        )

    def airflow(self, name: str) -> None:
        """Start one of Airflow's services."""
        self.launch(name, "airflow", name, *(["--skip-serve-logs"] if name == "triggerer" else []))

    def require_alive(self) -> None:
        """End the benchmark, with the end of the log, when a service has ended."""
        for name, service in self.services.items():
            if service.exited() is not None:
                sys.exit(f"{name} ended with status {service.exited()}:\n{service.last_lines(40)}")

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 300.0) -> Any:
        """Return what the condition gave when it held; ends the benchmark when it never does."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            self.require_alive()
            if time.monotonic() > end:
                tails = "\n".join(f"{name}:\n{each.last_lines(8)}" for name, each in self.services.items())
                sys.exit(f"waited {seconds:g} s until {what}\n{tails}")
            time.sleep(0.25)
        return found

    def query(self, name: str, text: str, **values: Any) -> list[sa.Row[Any]]:
        """Return the rows of a query on one of the databases."""
        with self.engines[name].connect() as connection:
            return list(connection.execute(sa.text(text), values))

    def cpu(self) -> dict[str, float]:
        """Return the seconds of CPU that each part has used since its start, by the name of the part.

        Linux adds an ended process to its parent once the parent has waited for it. Of the scheduler, its own
        process is the scheduler; everything below it runs tasks.
        """
        used = {"PostgreSQL": _tree(self._postmaster)}
        for name, service in self.services.items():
            whole = _tree(service.process.pid)
            if name == "scheduler":
                own = _own(service.process.pid)
                used |= {"scheduler": own, "tasks": whole - own}
            else:
                used[name] = whole
        return used

    @property
    def _postmaster(self) -> int:
        with self.engines["airflow"].connect() as connection:
            return psutil.Process(connection.scalar(sa.text("select pg_backend_pid()"))).ppid()


def _own(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _tree(pid: int) -> float:
    """Return the CPU of a process, of what runs below it, and of what has ended below it."""
    total = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
    return total


@contextlib.contextmanager
def _ended_once() -> Iterator[None]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into SystemExit; ignore others while this cleans up."""

    def leave(number: int, _frame: Any) -> None:
        _ignore_signals()
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def platform(models: int, parallelism: int) -> Iterator[FleetPlatform]:
    """Start PostgreSQL and MLflow, migrate Airflow's database; start Airflow's services with ``airflow``."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ended_once())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="homeostat-fleet-")))
        url, postgres = stack.enter_context(database(folder))
        if not url.startswith("postgresql"):
            sys.exit("PostgreSQL is not installed: apt-get install postgresql")
        urls = _databases(url)
        for name in ("logs", "run", "store", "models", "state/airflow", "artifacts"):
            (folder / name).mkdir(parents=True)
        secrets = load_secrets(folder / "state" / "secrets.json")
        write_passwords(folder / "state" / "airflow" / "passwords.json", secrets)
        ports = Ports(*(free_port() for _ in range(4)))
        given = {
            "HOMEOSTAT_HOME": str(ROOT),
            "HOMEOSTAT_MODELS": str(folder / "models"),
            "HOMEOSTAT_STATE": str(folder / "state"),
            "HOMEOSTAT_STORE": f"file://{folder}/store",
            "HOMEOSTAT_LEDGER": urls["ledger"],
        }
        settings = local_settings(Settings.from_env(given), ports, secrets)
        ours = ("AIRFLOW", "HOMEOSTAT_", "MLFLOW_", "OTEL_")
        base = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        base |= AIRFLOW_DEFAULTS | (FOR_MANY if models >= MANY else {})
        base["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = urls["airflow"]
        base["AIRFLOW__CORE__PARALLELISM"] = str(parallelism)
        base["PYTHONPATH"] = os.pathsep.join([str(ROOT / "plugins"), os.environ.get("PYTHONPATH", "")])
        env = platform_env(settings, ports, secrets, base)
        found = FleetPlatform(folder, settings, env, urls, postgres)
        found.engines = {name: sa.create_engine(url) for name, url in urls.items()}
        for engine in found.engines.values():
            stack.callback(engine.dispose)
        stack.enter_context(orphan_reaper(folder / "run", env))
        stack.callback(lambda: stop(found.services.values(), folder / "run", 8.0))
        stack.callback(_ignore_signals)  # first of all that is called in the end
        found.launch("mlflow", "mlflow", "server", *_mlflow_options(urls["mlflow"], folder, ports.mlflow))
        found.until(lambda: _responds(f"{settings.tracking_uri}/health"), "MLflow responds")
        found.launch("migrate", "homeostat.dev_stack.prepare_airflow", str(ROOT / "airflow_settings.yaml"))
        migrate = found.services["migrate"]
        if migrate.process.wait():
            sys.exit(f"Airflow's database was not migrated:\n{migrate.last_lines(40)}")
        del found.services["migrate"]
        found.airflow("api-server")
        found.until(
            lambda: _responds(f"http://{HOST}:{ports.airflow}/api/v2/version"), "Airflow's API responds"
        )
        yield found


def _databases(url: str) -> dict[str, str]:
    """Create the three databases; return their URLs by name."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for name in DATABASES:
            connection.execute(sa.text(f"create database {name}"))
    engine.dispose()
    return {name: f"{url.rpartition('/')[0]}/{name}" for name in DATABASES}


def _mlflow_options(url: str, folder: Path, port: int) -> list[str]:
    return [
        *("--backend-store-uri", url, "--artifacts-destination", str(folder / "artifacts")),
        *("--host", HOST, "--port", str(port), "--workers", "2"),
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}"),
    ]


def _responds(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2.0, trust_env=False).is_success
    return False
