"""Shared by the tests of operators: an Airflow process, a small model, a simulated gateway, a receiver."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from homeostat.adapters import build_ports, open_ledger
from homeostat.config import Settings, load_model
from homeostat.config.errors import StaleRevision
from homeostat.core.rollout import EvidenceRecorder, decide_rollout
from sample_model import MODEL, PIPELINE, T0, load_as_gateway, rows_between

UNTIL = T0.isoformat()
SHORT_STAGES = {
    "shadow: {duration: 10s": "shadow: {max_duration: 2s, duration: 1s",
    "step_duration: 10s": "max_step_duration: 2s, step_duration: 1s",
}


class Airflow:
    """A process that runs DAGs on request. A failure shows its log; the next request starts a new process."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self._env = env
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def call(self, do: str, env: dict[str, str], *, timeout: float = 60, **arguments):
        """Call a function of ``airflow_worker.py`` and return its result."""
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"call": do, "env": env, "arguments": arguments}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], timeout)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            self.stop()
            msg = (
                f"Airflow {'ended' if ready else f'did not respond within {timeout} s'}:\n{self.log[-8000:]}"
            )
            raise AssertionError(msg)
        reply = json.loads(line)
        assert "result" in reply, reply["error"] + self.log[-4000:]
        return reply["result"]

    @property
    def log(self) -> str:
        """The output so far."""
        return self._log.read_text()

    def _start(self) -> subprocess.Popen[str]:
        with self._log.open("ab") as file:
            return subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("airflow_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=self._env,
                text=True,
            )

    def stop(self) -> None:
        """End the process if it runs."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            process.stdout.close()


@dataclass
class OperatorFixture:
    """One model folder with its own store and ledger; MLflow and Airflow are shared."""

    name: str
    folder: Path
    airflow: Airflow
    env: dict[str, str]
    pool: ThreadPoolExecutor
    runs: int = 0
    _ports: object = field(default=None, repr=False)

    @property
    def config(self):
        return load_model(self.folder / "models" / self.name)

    @property
    def ports(self):
        self._ports = self._ports or build_ports(Settings.from_env(self.env))
        return self._ports

    @property
    def traffic(self):
        return self.ports.ledger.read(self.name)

    def retrain(self, *, run=None, retries=0, env=None, until=UNTIL, mark_success=None, loads=True, **form):
        """Run the retrain DAG once; the same ``run`` number is the same run, the default is a new one.

        With ``loads`` a first version is loaded as by a gateway.
        """
        self.runs += run is None
        at = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=self.runs if run is None else run)
        with first_version_loader(self) if loads else nullcontext():
            return self.airflow.call(
                "run",
                {**self.env, **(env or {})},
                dag=f"retrain__{self.name}",
                conf={"until": until, **form},
                at=at.isoformat(),
                retries=retries,
                mark_success=mark_success,
            )

    def check(self, window_end=None, **how):
        """Run the drift check once, for ``window_end`` or for the run's own hour."""
        conf = {"window_end": window_end.isoformat()} if window_end else {}
        return self.airflow.call("run", self.env, dag=f"drift_check__{self.name}", conf=conf, **how)

    def append_to_config(self, yaml: str) -> None:
        """Append to model.yaml."""
        with (self.folder / "models" / self.name / "model.yaml").open("a") as file:
            file.write(yaml)

    def in_background(self, function, /, **arguments):
        """Run one of the methods above in a thread; return its future."""
        return self.pool.submit(function, **arguments)

    def versions(self):
        return [version.version for version in self.ports.registry.versions(self.name)]


def make_operator_fixture(
    folder: Path, name: str, airflow: Airflow, pool: ThreadPoolExecutor, env: dict[str, str]
) -> OperatorFixture:
    """Write the sample model under this name, with rows and settings."""
    home = folder / "models" / name
    home.mkdir(parents=True)
    text = MODEL.replace("name: sample", f"name: {name}")
    for old, new in SHORT_STAGES.items():
        assert old in text
        text = text.replace(old, new)
    (home / "model.yaml").write_text(text)
    (home / "pipeline.py").write_text(PIPELINE)
    rows_between(T0 - timedelta(days=5), T0).to_csv(home / "rows.csv", index=False)
    settings = {
        "HOMEOSTAT_MODELS": str(folder / "models"),
        "HOMEOSTAT_STATE": str(folder / "state"),
    }
    return OperatorFixture(name, folder, airflow, settings | env, pool)


@contextmanager
def gateway(setup: OperatorFixture, *, traffic: bool = True):
    """Write to the ledger as a gateway does: start the rollout, add evidence, advance.

    Both versions behave alike. Without ``traffic`` there is no evidence.
    """
    with _beside(setup, lambda ledger: _advance_once(setup.name, ledger, traffic=traffic)):
        yield


def first_version_loader(setup: OperatorFixture):
    """Load a registered first version as a gateway does, in a background thread; nothing else."""
    return _beside(setup, lambda ledger: load_as_gateway(setup.name, ledger, datetime.now(UTC)))


@contextmanager
def _beside(setup: OperatorFixture, step: Callable[[Any], None]):
    """Call the step with the ledger ten times a second in a background thread."""
    end, errors = threading.Event(), []

    def work() -> None:
        ledger: Any = open_ledger(Settings.from_env(setup.env).ledger)
        try:
            while not end.wait(0.1):
                step(ledger)
        except Exception as error:  # noqa: BLE001  # raised below, in the test
            errors.append(error)
        finally:
            ledger.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(10)
    if errors:
        raise errors[0]


def _advance_once(model, ledger, *, traffic):
    now, state = datetime.now(UTC), ledger.read(model)
    if state.active is None:
        return
    if traffic and state.active.phase != "registered":
        ledger.add_evidence(model, state.active.id, "g1", now, _evidence(state.active))
    evidence = ledger.evidence(model, state.active.id)
    decision = decide_rollout(state, evidence, now)
    if decision.transition is not None:
        step = decision.transition
        with suppress(StaleRevision):
            record = decision.record(evidence)
            ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="g1", at=now, evidence=record)


def _evidence(rollout):
    """Return twenty equal predictions of each version that predicts in this stage."""
    recorder = EvidenceRecorder()
    shadow = rollout.phase == "shadow"
    for variant in ("champion", "shadow") if shadow else ("control", "candidate"):
        for i in range(20):
            recorder.record_predictions(
                rollout.stage, variant, [i % 2], confidence=[0.9], latency_ms=5 + i % 3
            )
    if shadow:
        recorder.record_comparison(rollout.stage, "shadow", [False] * 20)
    return recorder.drain()


class Receiver:
    """A real HTTP server that keeps the notices it receives."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        got = self.received

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def connection(self) -> str:
        """The Apprise connection to this server, as an environment variable of Airflow."""
        return json.dumps({"conn_type": "apprise", "extra": {"config": self._config}})

    @property
    def form_connection(self) -> str:
        """The same as Airflow's form stores it: one field, ``config``, as text in the extra."""
        return json.dumps({"conn_type": "apprise", "extra": {"config": json.dumps(self._config)}})

    @property
    def _config(self) -> dict[str, str]:
        return {"path": f"json://127.0.0.1:{self.port}/notices"}

    @property
    def titles(self) -> list[str]:
        """The titles received, in order, without the model's name."""
        return [notice["title"].partition(" ")[2] for notice in self.received]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def holds_within(seconds: float, condition) -> bool:
    """Whether the condition holds within this many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
