"""docker-compose.yml as it is, in the tests' own Docker daemon: its services, addresses and commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "homeostat-test"
#: A row as model.yaml describes it.
ROW = {
    "temperature": 61,
    "vibration": 3.2,
    "pressure": 8,
    "flow": 90,
    "rpm": 1500,
    "load": 70,
    "ambient": 18,
    "pump_type": "screw",
    "site": "hill",
}
#: The services that compose publishes, and the variables of their ports.
PORTS = {
    "airflow": "AIRFLOW_PORT",
    "mlflow": "MLFLOW_PORT",
    "gateway-a": "GATEWAY_A_PORT",
    "gateway-b": "GATEWAY_B_PORT",
    "prometheus": "PROMETHEUS_PORT",
}


class ComposeStack:
    """The services of docker-compose.yml that no profile hides, as project ``homeostat-test``.

    The checkout is mounted as for a user; ``folder`` has .env and the folder of data.
    """

    def __init__(self, folder: Path, docker: Mapping[str, str], free_port: Callable[[], int]) -> None:
        self.folder, self.data, self.env = folder, folder / "data", folder / ".env"
        self.data.mkdir(parents=True)
        self.ports = {name: free_port() for name in PORTS}
        self._docker = {name: value for name, value in docker.items() if not name.startswith("HOMEOSTAT_")}
        # On a busy machine a container takes long to stop; docker-compose 1 waits for a minute.
        self._docker |= {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_HTTP_TIMEOUT": "600"}
        make_env = [sys.executable, str(ROOT / "infra/compose/make_env.py"), str(self.env)]
        subprocess.run(make_env, check=True, capture_output=True)
        values = {PORTS[name]: str(port) for name, port in self.ports.items()}
        values |= {"HOMEOSTAT_DATA": str(self.data), "HOMEOSTAT_OVERRIDES": "/data/overrides.yaml"}
        with self.env.open("a", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
        self.values = dict(line.split("=", 1) for line in self.env.read_text().splitlines())
        services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self.services = {name for name, service in services.items() if "profiles" not in service}
        self.answered: list[str] = []  # ids of the requests that :meth:`predict` got an answer to
        self._token = ""

    # Containers

    def compose(self, *arguments: str, stdin: str | None = None) -> str:
        """Run docker-compose; return standard output. A failure shows the end of its output."""
        return self._run(*self._compose(*arguments), stdin=stdin)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start docker-compose and do not wait for its end."""
        return subprocess.Popen(
            self._compose(*arguments), env=self._docker, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _compose(self, *arguments: str) -> list[str]:
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
        program = ["docker", "compose"] if plugin.returncode == 0 else ["docker-compose"]
        files = ["--project-directory", str(ROOT), "--file", str(ROOT / "docker-compose.yml")]
        return [*program, *files, "--env-file", str(self.env), *arguments]

    def docker(self, *arguments: str) -> str:
        """Run docker; return standard output."""
        return self._run("docker", *arguments)

    def _run(self, *command: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            command, env=self._docker, input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command[-3:]}: {done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return what Docker says of each container of the project, by service."""
        label = "com.docker.compose"
        ids = self.docker("ps", "--all", "--quiet", "--filter", f"label={label}.project={PROJECT}").split()
        found = json.loads(self.docker("inspect", *ids)) if ids else []
        return {each["Config"]["Labels"][f"{label}.service"]: each for each in found}

    def unwell(self) -> dict[str, str]:
        """Return each service that is neither healthy nor, as an init service, ended with 0; {} for none."""
        found, states = self.containers(), {}
        for name in self.services:
            state: dict[str, Any] = {"Status": "missing", "ExitCode": -1}
            state |= found[name]["State"] if name in found else {}
            health = state.get("Health", {}).get("Status", "")
            text = f"{state['Status']} {health}".strip()
            done = name.endswith("-init") and text == "exited" and state["ExitCode"] == 0
            if not done and text != "running healthy":
                states[name] = f"{text}, exit code {state['ExitCode']}"
        return states

    def kill(self, service: str) -> None:
        """Kill a container's first process from outside, so that its restart policy applies."""
        os.kill(self.containers()[service]["State"]["Pid"], signal.SIGKILL)

    # What people do

    def url(self, service: str) -> str:
        """Return the address that compose publishes."""
        return f"http://127.0.0.1:{self.ports[service]}"

    def homeostat(self, *arguments: str) -> str:
        """Run a command line in a gateway's container, as the README says."""
        return self.compose("exec", "-T", "gateway-a", "homeostat", *arguments)

    def replay(self, gateway: str, since: str) -> int:
        """Send the rows since a time; return how many were answered: on a busy machine not all in time."""
        where = ("-e", "HOMEOSTAT_GATEWAY=http://127.0.0.1:8000", gateway)
        command = ("homeostat", "replay", "pump_fault", "--since", since, "--rate", "150", "--json")
        done = subprocess.run(
            self._compose("exec", "-T", *where, *command), env=self._docker, capture_output=True, check=False
        )
        report = json.loads(done.stdout)
        return int(report["sent"] - report["failed"])

    def python(self, script: str) -> Any:
        """Run a script in a gateway's container; return the JSON that it prints."""
        return json.loads(self.compose("exec", "-T", "gateway-a", "python", "-", stdin=script))

    def status(self) -> dict[str, Any]:
        """Return what `homeostat status` says of pump_fault."""
        return dict(json.loads(self.homeostat("status", "pump_fault", "--json"))["pump_fault"])

    def predict(self, gateway: str) -> str:
        """Send one row; return the version that answered."""
        name = f"compose-{len(self.answered)}"
        response = httpx.post(
            f"{self.url(gateway)}/models/pump_fault/invocations",
            json={"dataframe_records": [ROW]},
            headers={"X-Request-Id": name},
            timeout=60,
        )
        assert response.status_code == 200, f"{gateway}: {response.status_code} {response.text}"
        assert len(response.json()["predictions"]) == 1
        self.answered.append(name)
        return str(response.headers["X-Homeostat-Version"])

    def airflow(self, path: str, body: Any = None) -> Any:
        """Call Airflow's API as admin: GET, or POST of a body."""
        if not self._token:
            login = {"username": "admin", "password": self.values["AIRFLOW_ADMIN_PASSWORD"]}
            answer = httpx.post(
                f"{self.url('airflow')}/auth/token", json=login, timeout=30
            ).raise_for_status()
            self._token = answer.json()["access_token"]
        response = httpx.request(
            "GET" if body is None else "POST",
            f"{self.url('airflow')}/api/v2/{path}",
            json=body,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout=30,
        )
        return response.raise_for_status().json()

    @contextmanager
    def traffic(self, since: str) -> Iterator[None]:
        """Send the rows since a time to both gateways in turn, over and over, until the block ends."""
        stop, problems = threading.Event(), []

        def send() -> None:
            while not stop.is_set():
                for gateway in ("gateway-a", "gateway-b"):
                    try:
                        assert self.replay(gateway, since) > 0
                    except Exception as error:  # noqa: BLE001  # shown in the calling thread
                        problems.append(error)
                        return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert problems == []

    # The end

    def save_logs(self, file: Path) -> None:
        """Write the logs of all services to a file."""
        with file.open("wb") as out:
            command = self._compose("logs", "--no-color")
            subprocess.run(command, env=self._docker, stdout=out, stderr=out, check=False)

    def remove(self) -> None:
        """Remove containers, networks and volumes, also after a failure."""
        command = self._compose("down", "--volumes", "--timeout", "5")
        subprocess.run(command, env=self._docker, capture_output=True, check=False)
        shutil.rmtree(self.data, ignore_errors=True)
