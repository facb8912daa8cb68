"""What the tests of operators share: an Airflow process, a small model of one's own, gateways, a receiver."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from homeostat.adapters import build_ports
from homeostat.config import Settings, load_model
from homeostat.config.errors import StaleRevision
from homeostat.core.rollout import EvidenceRecorder, decide_rollout
from sample_model import MODEL, PIPELINE, T0, rows_between

UNTIL = T0.isoformat()
QUICK = {"shadow: {duration: 10s": "shadow: {duration: 1s", "step_duration: 10s": "step_duration: 1s"}


class Airflow:
    """A process that runs DAGs when asked to; a failure shows its log, and the next order starts anew."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self._env = env
        self._log = log
        self._process: subprocess.Popen[str] | None = None

    def ask(self, do: str, env: dict[str, str], *, timeout: float = 60, **arguments):
        """Send an order and wait for its answer."""
        process = self._process = self._process or self._start()
        process.stdin.write(json.dumps({"do": do, "env": env, "with": arguments}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], timeout)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            self.stop()
            msg = f"Airflow {'ended' if ready else f'did not answer for {timeout} s'}:\n{self.log[-8000:]}"
            raise AssertionError(msg)
        answer = json.loads(line)
        assert "answer" in answer, answer["error"] + self.log[-4000:]
        return answer["answer"]

    @property
    def log(self) -> str:
        """What it has printed so far."""
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
        """End the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            process.stdout.close()


@dataclass
class World:
    """One model folder with store, ledger and notices of its own; MLflow and Airflow are shared."""

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

    def retrain(self, *, run=None, retries=0, env=None, until=UNTIL, mark_success=None, **form):
        """Run the retrain DAG once; ``run`` numbers it, a new number unless given."""
        self.runs += run is None
        at = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(hours=self.runs if run is None else run)
        return self.airflow.ask(
            "run",
            {**self.env, **(env or {})},
            dag=f"retrain__{self.name}",
            conf={"until": until, **form},
            at=at.isoformat(),
            retries=retries,
            mark_success=mark_success,
        )

    def check(self, window_end=None, **how):
        """Run the drift check once, for the window given by hand or for the run's own hour."""
        conf = {"window_end": window_end.isoformat()} if window_end else {}
        return self.airflow.ask("run", self.env, dag=f"drift_check__{self.name}", conf=conf, **how)

    def write(self, yaml: str) -> None:
        """Add to model.yaml."""
        with (self.folder / "models" / self.name / "model.yaml").open("a") as file:
            file.write(yaml)

    def in_background(self, call, **arguments):
        """Run one of the calls above in a thread; gives its future."""
        return self.pool.submit(call, **arguments)

    def versions(self):
        return [version.version for version in self.ports.registry.versions(self.name)]


def make_world(
    folder: Path, name: str, airflow: Airflow, pool: ThreadPoolExecutor, env: dict[str, str]
) -> World:
    """Write the toy model under its own name, its rows, and the settings of an installation."""
    home = folder / "models" / name
    home.mkdir(parents=True)
    text = MODEL.replace("name: toy", f"name: {name}")
    for old, new in QUICK.items():
        assert old in text
        text = text.replace(old, new)
    (home / "model.yaml").write_text(text)
    (home / "pipeline.py").write_text(PIPELINE)
    rows_between(T0 - timedelta(days=5), T0).to_csv(home / "rows.csv", index=False)
    settings = {
        "HOMEOSTAT_MODELS": str(folder / "models"),
        "HOMEOSTAT_STATE": str(folder / "state"),
    }
    return World(name, folder, airflow, settings | env, pool)


@contextmanager
def gateway(world: World, *, traffic: bool = True):
    """Do what a gateway does to the ledger: begin the rollout, tell what the versions answered, tick.

    All of them behave. Without ``traffic`` there is nothing to tell.
    """
    end, trouble = threading.Event(), []

    def work() -> None:
        ledger = build_ports(Settings.from_env(world.env)).ledger
        try:
            while not end.wait(0.1):
                _work_once(world.name, ledger, traffic=traffic)
        except Exception as error:  # noqa: BLE001  # raised below, in the test
            trouble.append(error)
        finally:
            ledger.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(10)
    if trouble:
        raise trouble[0]


def _work_once(model, ledger, *, traffic):
    now, state = datetime.now(UTC), ledger.read(model)
    if state.active is None:
        return
    if traffic and state.active.phase != "registered":
        ledger.add_evidence(model, state.active.id, "g1", now, _answers(state.active))
    decision = decide_rollout(state, ledger.evidence(model, state.active.id), now)
    if decision.transition is not None:
        step = decision.transition
        with suppress(StaleRevision):
            ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="g1", at=now)


def _answers(rollout):
    """Twenty answers of each version that answers in this stage, all alike."""
    recorder = EvidenceRecorder()
    shadow = rollout.phase == "shadow"
    for variant in ("champion", "shadow") if shadow else ("control", "candidate"):
        for i in range(20):
            recorder.record_predictions(rollout.stage, variant, [i % 2], confidence=[0.9], latency_ms=5 + i % 3)
    if shadow:
        recorder.record_comparison(rollout.stage, "shadow", [False] * 20)
    return recorder.drain()


class Receiver:
    """A real HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        self.got: list[dict[str, str]] = []
        got = self.got

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
        """The Apprise connection that leads here, as an environment variable says it to Airflow."""
        return json.dumps({"conn_type": "apprise", "extra": {"config": self._config}})

    @property
    def connection_as_the_form_writes_it(self) -> str:
        """Airflow's form has one field for the whole of ``config``, so that it is text in the extra."""
        return json.dumps({"conn_type": "apprise", "extra": {"config": json.dumps(self._config)}})

    @property
    def _config(self) -> dict[str, str]:
        return {"path": f"json://127.0.0.1:{self.port}/notices"}

    @property
    def titles(self) -> list[str]:
        """What was told, in order, without the model's name."""
        return [notice["title"].partition(" ")[2] for notice in self.got]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def within(seconds: float, condition) -> bool:
    """Whether a condition comes to hold in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
