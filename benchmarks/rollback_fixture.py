"""What the rollback benchmark runs: two gateways on one ledger, MLflow nowhere, and steady load on both.

    python benchmarks/rollback_fixture.py load SECONDS_BETWEEN CONNECTIONS PORT [PORT ...]

writes one line for each response: time (monotonic), which connection, which version, which status.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent / "include"
TOKEN = "for-the-benchmark-only"  # noqa: S105  # two gateways on loopback that end with it
UNREACHABLE = "http://127.0.0.1:9"
MODEL = "pump"
_MODEL = """
name: pump
task: classification
pipeline: pipeline.py:build
source: {kind: predictions}
schema:
  key: unit
  label: {name: y}
  features: {a: {type: number}, b: {type: number}, c: {type: number}}
shadow: {duration: 0s}
canary: {steps: [0.5], step_duration: 24h, min_samples: 1000000}
"""
_PIPELINE = """
def build():
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=20)
"""


def until(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> Any:
    """What the condition gave when it held; ends the benchmark when it never does."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            sys.exit(f"waited {seconds:g} s until {what}")
        time.sleep(0.005)
    return found


@contextlib.contextmanager
def database(folder: Path) -> Iterator[tuple[str, str]]:
    """A ledger's URL and what it is: a PostgreSQL of this machine where there is one, or else SQLite."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        yield f"sqlite:///{folder}/ledger.db", "SQLite"
        return
    root = os.geteuid() == 0
    as_user = ["runuser", "-u", "postgres", "--"] if root else []
    home = Path(tempfile.mkdtemp(prefix="homeostat-bench-pg-"))
    if root:
        shutil.chown(home, "postgres", "postgres")
    user = "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name
    port, control = free_port(), str(found[-1].with_name("pg_ctl"))

    def run(*command: str) -> None:
        subprocess.run([*as_user, *command], cwd=home, check=True, capture_output=True)  # noqa: S603  # PostgreSQL's own

    try:
        run(str(found[-1]), "-D", f"{home}/data", "-U", user, "-A", "trust", "-E", "UTF8")
        where = f"-p {port} -h 127.0.0.1 -k {home}"
        run(control, "-D", f"{home}/data", "-o", where, "-l", f"{home}/log", "-w", "start")
        try:
            yield (
                f"postgresql+psycopg2://{user}@127.0.0.1:{port}/postgres",
                f"PostgreSQL {found[-1].parts[-3]}",
            )
        finally:
            run(control, "-D", f"{home}/data", "-m", "fast", "-w", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def free_port() -> int:
    """Return a port without a listener."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RollbackFixture:
    """The folder of everything, the ledger's URL, and the gateways once they run."""

    folder: Path
    ledger_url: str
    gateways: list[Gateway] = field(default_factory=list)

    def env(self, name: str) -> dict[str, str]:
        """The environment of one gateway: state and cache of its own, one ledger and one store for all."""
        return {
            **os.environ,
            "PYTHONPATH": str(INCLUDE),
            "HOMEOSTAT_HOME": str(self.folder),
            "HOMEOSTAT_STATE": str(self.folder / name),
            "HOMEOSTAT_STORE": f"file://{self.folder}/store",
            "HOMEOSTAT_LEDGER": self.ledger_url,
            "HOMEOSTAT_CONTROL_TOKEN": TOKEN,
            "HOMEOSTAT_GATEWAY": UNREACHABLE,
            "HOMEOSTAT_GATEWAY_NAME": name,
            "MLFLOW_TRACKING_URI": UNREACHABLE,
        }

    def make_version(self, names: list[str]) -> str:
        """Train a version, put it into each gateway's cache, and give its digest back."""
        import numpy as np
        import pandas as pd

        from homeostat.bundle.evaluate import make_reference
        from homeostat.bundle.files import write_bundle
        from homeostat.bundle.predictor import Predictor
        from homeostat.config import Settings
        from homeostat.retraining.fit import fit

        model = self.folder / "include" / "models" / MODEL
        model.mkdir(parents=True)
        (model / "model.yaml").write_text(_MODEL)
        (model / "pipeline.py").write_text(_PIPELINE)
        config = Settings.from_env(self.env(names[0])).load_model(MODEL)
        rng = np.random.default_rng(1)
        frame = pd.DataFrame(rng.normal(size=(2_000, 3)), columns=["a", "b", "c"])
        frame["y"] = (frame["a"] > frame["b"]).astype(int)
        frame["timestamp"] = pd.date_range("2026-01-01", periods=len(frame), freq="min", tz="UTC")
        estimator = fit(config, frame, None)
        reference = make_reference(config, Predictor.of(config, estimator), frame)
        made = self.folder / "bundle"
        digest = write_bundle(made, config, estimator, reference, {})
        for name in names:
            cached = Settings.from_env(self.env(name)).cache / "bundles" / digest.removeprefix("sha256:")
            shutil.copytree(made, cached)
        return digest

    @contextlib.contextmanager
    def running(self, names: list[str], workers: int, **env: str) -> Iterator[list[Gateway]]:
        """The gateways, each with so many workers, once all of them response."""
        started: list[Gateway] = []
        try:
            started += [Gateway.start(self, name, workers, env) for name in names]
            for each in started:
                until(lambda each=each: each.ready(workers), "every worker responds", 180)  # type: ignore[misc]
            yield started
        finally:
            for each in started:
                each.process.send_signal(signal.SIGTERM)
            for each in started:
                each.process.wait(40)


@dataclass(frozen=True)
class Gateway:
    """One ``homeostat gateway`` and its port."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    @classmethod
    def start(cls, setup: RollbackFixture, name: str, workers: int, env: dict[str, str]) -> Gateway:
        """Start it; it is not up yet."""
        log, port = setup.folder / f"{name}.log", free_port()
        command = [sys.executable, "-c", "from homeostat.cli import main; main()", "gateway"]
        command += ["--port", str(port), "--workers", str(workers)]
        with log.open("ab") as out:
            process = subprocess.Popen(  # noqa: S603  # ours
                command, env={**setup.env(name), **env}, stdout=out, stderr=subprocess.STDOUT
            )
        return cls(process, log, port)

    def ready(self, workers: int) -> bool:
        """Whether so many workers response and have the champion loaded."""
        if self.process.poll() is not None:
            sys.exit(f"a gateway ended:\n{self.log.read_text()[-3000:]}")
        with contextlib.suppress(OSError, ValueError, KeyError):
            health = json.loads(self.get("/health"))
            up = sum(each["responding"] for each in health.get("workers", [{"responding": True}]))
            return up == workers and bool(json.loads(self.get("/models"))["models"][0]["ready"])
        return False

    def get(self, path: str) -> bytes:
        """Ask it something."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as response:  # noqa: S310  # the same
            return bytes(response.read())

    def roll_back(self, reason: str) -> None:
        """Request a rollback from the worker that accepts the connection."""
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
            line.request("POST", f"/control/models/{MODEL}/rollback", json.dumps({"reason": reason}), headers)
            response = line.getresponse()
            if response.status != 200:
                sys.exit(f"the rollback was refused: {response.read().decode()}")
        finally:
            line.close()

    def pids(self) -> list[int]:
        """The workers' processes; the gateway's own when it has one worker."""
        found = [each["pid"] for each in json.loads(self.get("/health")).get("workers", [])]
        return found or [self.process.pid]

    def rows_by_worker(self) -> dict[str, float]:
        """How many rows each worker has answered; those that answered none are left out."""
        found = re.findall(
            r'^homeostat_rows_total\{worker="(\d+)".*\} (\S+)$', self.get("/metrics").decode(), re.MULTILINE
        )
        rows: dict[str, float] = {}
        for worker, count in found:
            rows[worker] = rows.get(worker, 0.0) + float(count)
        return {worker: count for worker, count in rows.items() if count}


class Load:
    """Steady load from a process of its own, and what came back."""

    def __init__(self, ports: list[int], connections: int, between: float) -> None:
        command = [sys.executable, str(HERE / "rollback_fixture.py"), "load", str(between), str(connections)]
        self._process = subprocess.Popen(  # noqa: S603  # ours
            [*command, *map(str, ports)], stdout=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self.responses = 0
        self.failed: list[str] = []
        #: Of each version: the connections that it answered, and when it did last.
        self.seen: dict[str, tuple[set[str], float]] = {}
        self.changes = 0

    def __enter__(self) -> Load:  # noqa: PYI034  # Self says no more
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        before: dict[str, str] = {}
        for line in self._process.stdout or ():
            at, connection, version, status = line.rstrip("\n").split(" ")
            self.responses += 1
            if status != "200":
                self.failed.append(line)
                continue
            connections, _ = self.seen.get(version, (set(), 0.0))
            connections.add(connection)
            self.seen[version] = (connections, float(at))
            self.changes += before.get(connection, version) != version
            before[connection] = version


def rss(pid: int) -> float:
    """Resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def monotonic_of(at: datetime) -> float:
    """A wall clock's moment on the monotonic clock that all processes of this machine share."""
    return at.timestamp() - datetime.now(UTC).timestamp() + time.monotonic()


def _load(between: float, connections: int, ports: list[int]) -> None:
    threads = [
        threading.Thread(target=_ask, args=(number, ports[number % len(ports)], between), daemon=True)
        for number in range(connections)
    ]
    for thread in threads:
        thread.start()
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


def _ask(number: int, port: int, between: float) -> None:
    line: http.client.HTTPConnection | None = None
    headers, serial = {"Content-Type": "application/json"}, 0
    path = f"/models/{MODEL}/invocations"
    while True:
        serial += 1
        row = {"a": 0.1 * (serial % 20 - 10), "b": 0.0, "c": 1.0, "unit": f"{number}-{serial}"}
        try:
            if line is None:
                line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            line.request("POST", path, json.dumps({"dataframe_records": [row]}), headers)
            response = line.getresponse()
            response.read()
            version, status = response.getheader("x-homeostat-version", "-"), response.status
        except (OSError, http.client.HTTPException):
            version, status, line = "-", 0, None
        sys.stdout.write(f"{time.monotonic():.6f} {number} {version} {status}\n")
        sys.stdout.flush()
        time.sleep(between)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    _load(float(sys.argv[2]), int(sys.argv[3]), [int(port) for port in sys.argv[4:]])
