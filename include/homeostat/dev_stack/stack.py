"""MLflow, Airflow and the gateway on one machine, started together and stopped together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from homeostat.config.errors import HomeostatError, Unavailable
from homeostat.config.settings import Settings
from homeostat.dev_stack.airflow_api import AirflowApi
from homeostat.dev_stack.environment import HOST, Ports, local_settings, platform_env, write_dag_file
from homeostat.dev_stack.processes import Service, free_port, kill_orphans, start, stop
from homeostat.dev_stack.secrets_file import load_secrets, write_passwords
from homeostat.dev_stack.state_lock import orphan_reaper, state_lock, terminate_as_exit

# The scheduler first: it imports the tasks' libraries at its start, which takes longest.
AIRFLOW_SERVICES = (
    ("scheduler",),
    ("api-server",),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)
#: Airflow's services and tasks get less of a busy processor than the gateway: training can wait, clients not.
_YIELDING = ("nice", "-n", "5")
_AIRFLOW_PARTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")


@dataclass(frozen=True, slots=True)
class ServiceProgress:
    """Progress of one service: ``state`` is "started", "ready" or "stopped"."""

    name: str
    state: str
    seconds: float
    detail: str = ""


class Platform:
    """The whole platform on this machine, for as long as the ``with`` block lasts.

    Parameters
    ----------
    settings
        Folders and stores; addresses and the control token are filled in (see ``.settings``).
    progress
        Called whenever a service starts, is ready or has stopped.
    gateway
        False starts no gateway.
    keep_ports
        True prefers the well-known ports (Airflow 8080, MLflow 5000, gateway 8000) when they are free; False
        uses any free ports.
    timeout
        Time limit of the start, in seconds.

    Raises
    ------
    Refused
        Another platform uses the same state folder.
    Unavailable
        A service ended during the start, or was not ready in time; the message shows the end of its log.

    Notes
    -----
    Everything is stopped when the block ends, on exceptions, Ctrl-C and SIGTERM (which ends the block with
    SystemExit), and by orphan_reaper.py when this process is killed. The next start kills what is left.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        progress: Callable[[ServiceProgress], None] = lambda _step: None,
        gateway: bool = True,
        keep_ports: bool = False,
        timeout: float = 180.0,
    ) -> None:
        self._given = Settings.from_env() if settings is None else settings
        self._progress = progress
        self._with_gateway = gateway
        self._keep_ports = keep_ports
        self._timeout = timeout
        self._services: list[Service] = []
        self._stack = contextlib.ExitStack()
        self._began = 0.0
        self.settings = self._given
        self.env: dict[str, str] = {}
        self.mlflow_url = ""
        self.gateway_url = ""
        self.control_token = ""
        self.airflow: AirflowApi

    @property
    def logs(self) -> Path:
        """Return the folder of the services' logs, ``<service>.log`` each."""
        return self._given.state / "logs"

    @property
    def services(self) -> tuple[Service, ...]:
        """Return the running services, in the order of their start."""
        return tuple(self._services)

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.enter_context(terminate_as_exit())
            stack.enter_context(state_lock(self._given.state))
            self._prepare()
            stack.enter_context(orphan_reaper(self._records, self.env))
            stack.callback(self._stop)
            self._start()
            self.settings.announce()
            stack.callback(self.settings.withdraw)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def check(self) -> None:
        """Raise Unavailable when a service has ended."""
        for service in self._services:
            _raise_if_ended(service)

    @property
    def _records(self) -> Path:
        return self._given.state / "run"

    def _prepare(self) -> None:
        state = self._given.state
        for folder in (state / "airflow", state / "mlflow", self.logs, self._records):
            folder.mkdir(parents=True, exist_ok=True)
        for name in kill_orphans(self._records):
            self._report(name, "stopped", "left running by an earlier run")
        secrets = load_secrets(state / "secrets.json")
        write_passwords(state / "airflow" / "passwords.json", secrets)
        wanted = (8080, 5000, 8000, 0) if self._keep_ports else (0, 0, 0, 0)
        ports = Ports(*(free_port(port) for port in wanted))
        self.settings = local_settings(self._given, ports, secrets)
        self.env = platform_env(self.settings, ports, secrets)
        write_dag_file(self.settings)
        self.mlflow_url = self.settings.tracking_uri
        self.gateway_url = self.settings.gateway
        self.control_token = self.settings.control_token
        self.airflow = AirflowApi(f"http://{HOST}:{ports.airflow}", "admin", secrets.password)
        self._ports = ports

    def _start(self) -> None:
        deadline = self._began + self._timeout
        mlflow = self._launch("mlflow", _mlflow_command(self._given.state, self._ports.mlflow))
        gateway = (
            self._launch("gateway", _gateway_command(self._ports.gateway)) if self._with_gateway else None
        )
        self._migrate(deadline)
        airflow = [
            self._launch(words[0], [*_YIELDING, sys.executable, "-m", "airflow", *words])
            for words in AIRFLOW_SERVICES
        ]
        waiting: dict[str, tuple[list[Service], Callable[[], bool]]] = {
            "mlflow": ([mlflow], lambda: _responds(f"{self.mlflow_url}/health")),
            "airflow": (airflow, self._airflow_ready),
        }
        if gateway is not None:
            waiting["gateway"] = ([gateway], lambda: _responds(f"{self.gateway_url}/v2/health/live"))
        while waiting:
            for name, (services, ready) in list(waiting.items()):
                for service in services:
                    _raise_if_ended(service)
                if ready():
                    del waiting[name]
                    self._report(name, "ready")
                elif time.monotonic() > deadline:
                    tails = "\n".join(f"{s.log}:\n{s.last_lines(8)}" for s in services)
                    msg = f"{name} was not ready after {self._timeout:.0f} s. {tails}"
                    raise Unavailable(msg)
            time.sleep(0.1)

    def _launch(self, name: str, command: list[str]) -> Service:
        service = start(
            name, command, env=self.env, cwd=self._given.home, logs=self.logs, records=self._records
        )
        self._services.append(service)
        self._report(name, "started")
        return service

    def _migrate(self, deadline: float) -> None:
        """Migrate Airflow's database, unless this version did it before with the same settings file."""
        marker = self._given.state / "airflow" / "prepared.json"
        file = self._given.home / "airflow_settings.yaml"
        wanted = {
            "airflow": version("apache-airflow"),
            "database": hashlib.sha256(self.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].encode()).hexdigest(),
            "settings": hashlib.sha256(file.read_bytes() if file.exists() else b"").hexdigest(),
        }
        with contextlib.suppress(OSError, ValueError):
            if json.loads(marker.read_text(encoding="utf-8")) == wanted and self._database_is_there():
                return
        service = self._launch(
            "airflow-database", [sys.executable, "-m", "homeostat.dev_stack.prepare_airflow", str(file)]
        )
        while service.exited() is None:
            if time.monotonic() > deadline:
                msg = f"Airflow's database was not ready in time. {service.log}:\n{service.last_lines()}"
                raise Unavailable(msg)
            time.sleep(0.05)
        if service.exited() != 0:
            _raise_if_ended(service)
        self._services.remove(service)
        stop([service], self._records, 1.0)
        marker.write_text(json.dumps(wanted), encoding="utf-8")
        self._report("airflow-database", "ready")

    def _database_is_there(self) -> bool:
        url = self.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///").split("?")[0]).exists()

    def _airflow_ready(self) -> bool:
        with contextlib.suppress(HomeostatError, ValueError):
            health = self.airflow.health()
            return all(health.get(part) == "healthy" for part in _AIRFLOW_PARTS)
        return False

    def _stop(self) -> None:
        self.airflow.close()
        if self._services:
            # The gateway first: it writes its prediction log before it exits. The scheduler would wait for
            # its tasks without limit; they run again after the next start.
            gateway = [service for service in self._services if service.name == "gateway"]
            stop(gateway, self._records, 8.0)
            stop([s for s in self._services if s not in gateway], self._records, 2.5)
            self._services.clear()
            self._report("platform", "stopped")

    def _report(self, name: str, state: str, detail: str = "") -> None:
        self._progress(ServiceProgress(name, state, time.monotonic() - self._began, detail))


def _mlflow_command(state: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{state / 'mlflow' / 'mlflow.db'}"),
        *("--artifacts-destination", str(state / "mlflow" / "artifacts")),
        *("--host", HOST, "--port", str(port), "--workers", "1"),
        *("--allowed-hosts", f"{HOST}:{port},localhost:{port}"),
    ]


def _gateway_command(port: int) -> list[str]:
    code = (
        "from homeostat.config.settings import Settings\n"
        "from homeostat.serving.server.serve import run\n"
        f"run(Settings.from_env(), {HOST!r}, {port})"
    )
    return [sys.executable, "-c", code]


def _responds(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2.0, trust_env=False).is_success
    return False


def _raise_if_ended(service: Service) -> None:
    status = service.exited()
    if status is not None:
        msg = f"{service.name} ended with status {status}. {service.log}:\n{service.last_lines()}"
        raise Unavailable(msg)
