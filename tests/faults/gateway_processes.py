"""Real gateways: processes of their own on one ledger, MLflow nowhere, versions out of the cache."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from homeostat.adapters import open_ledger
from homeostat.adapters.bundle_files import tree_digest
from homeostat.adapters.clock import SystemClock
from homeostat.config import ModelConfig, Settings
from homeostat.core.profile import Reference
from homeostat.core.rollout import Plan, VersionRef, begin, promote
from sample_model import load_as_gateway

TOKEN = "a-token-for-tests"
UNREACHABLE = "http://127.0.0.1:9"
ROOT = Path(__file__).resolve().parents[2]
MODEL = """
name: pump
task: classification
pipeline: pipeline.py:build
source: {kind: predictions}
schema:
  key: unit
  label: {name: y, delay: 1h}
  features:
    a: {type: number}
    b: {type: number}
    colour: {type: category, categories: [red, blue]}
    old: {type: number, required: false}
shadow: {duration: 0s}
canary: {steps: [0.5], step_duration: 1h, min_samples: 100000}
"""
ROW = {"a": 1.0, "b": 0.0, "colour": "red"}


def until(condition, what: str, seconds: float = 60.0) -> Any:
    """What the condition gave when it held."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds} s until {what}"
        time.sleep(0.02)
    return found


@dataclass
class Gateway:
    """One ``homeostat gateway``: its process, its port, its log."""

    process: subprocess.Popen[bytes]
    log: Path
    home: Path

    @property
    def port(self) -> int:
        found = until(lambda: re.search(r"listening on http://127\.0\.0\.1:(\d+)", self.said()), "it listens")
        return int(found[1])

    def said(self) -> str:
        return self.log.read_text()

    def get(self, path: str) -> tuple[int, Any]:
        status, _, body = ask(self.port, "GET", path)
        return status, json.loads(body) if body[:1] in b"{[" else body.decode()

    def workers(self) -> list[dict[str, Any]]:
        return self.get("/health")[1]["workers"]

    def ready(self, workers: int) -> None:
        def up() -> bool:
            assert self.process.poll() is None, self.said()
            with contextlib.suppress(OSError, http.client.HTTPException):
                health = self.get("/health")[1]
                there = [w for w in health.get("workers", [{"responding": True}]) if w["responding"]]
                return len(there) == workers and self.get("/models")[1]["models"][0]["ready"]
            return False

        until(up, "every worker answers", 120)


def ask(
    port: int, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        sent = None if body is None else json.dumps(body)
        head = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}", **(headers or {})}
        connection.request(method, path, sent, head)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@dataclass
class Installation:
    """Several gateways on one ledger, and the versions that lie in their caches."""

    folder: Path
    ledger_url: str = ""
    gateways: list[Gateway] = field(default_factory=list)
    serial: int = 0

    def __post_init__(self) -> None:
        model = self.folder / "include" / "models" / "pump"
        model.mkdir(parents=True)
        (model / "model.yaml").write_text(MODEL)
        (model / "pipeline.py").write_text("def build():\n    raise NotImplementedError\n")
        (self.folder / "shared").mkdir()
        self.ledger_url = self.ledger_url or f"sqlite:///{self.folder}/shared/ledger.db"
        self.ledger: Any = open_ledger(self.ledger_url)
        self.config: ModelConfig = Settings.from_env(self.env("any")).load_model("pump")

    def env(self, name: str, **more: str) -> dict[str, str]:
        return {
            "HOMEOSTAT_HOME": str(self.folder),
            "HOMEOSTAT_STATE": str(self.folder / name),
            "HOMEOSTAT_CACHE": str(self.folder / "shared" / "cache" / name),
            "HOMEOSTAT_STORE": f"file://{self.folder}/shared/store",
            "HOMEOSTAT_LEDGER": self.ledger_url,
            "HOMEOSTAT_CONTROL_TOKEN": TOKEN,
            "HOMEOSTAT_GATEWAY_NAME": name,
            "MLFLOW_TRACKING_URI": UNREACHABLE,
            **more,
        }

    def version(self, gateways: tuple[str, ...], **faults: Any) -> VersionRef:
        """Make a version and put it into the cache of each gateway."""
        self.serial += 1
        made = self.folder / f"bundle{self.serial}"
        made.mkdir()
        manifest = {"task": "classification", "serial": self.serial, "classes": ["0", "1"], **faults}
        (made / "manifest.json").write_text(json.dumps(manifest))
        (made / "model.skops").write_bytes(b"none")
        seen = pd.DataFrame({"prediction": np.array(["0", "1"] * 50)})
        (made / "reference.bin").write_bytes(Reference.fit(seen, {"prediction": "category"}).to_bytes())
        digest = tree_digest(made)
        for name in gateways:
            cached = self.folder / "shared" / "cache" / name / "bundles" / digest.removeprefix("sha256:")
            cached.mkdir(parents=True)
            for file in made.iterdir():
                (cached / file.name).write_bytes(file.read_bytes())
        return VersionRef(str(self.serial), digest)

    def begin(self, ref: VersionRef) -> None:
        """Enter a version: the first is champion at once, a later one is a canary at 50 %."""
        plan = Plan.of(self.config)
        self._write(lambda t: begin(t, ref, f"rollout-{t.revision}", plan, now(), skip_shadow=True))
        load_as_gateway("pump", self.ledger, now())

    def promote(self, ref: VersionRef) -> None:
        self._write(lambda t: promote(t, ref, now(), "for the test"))

    def _write(self, step: Any) -> None:
        done = step(self.ledger.read("pump"))
        self.ledger.write(done.traffic, kind=done.kind, reason=done.reason, by="test", at=now())

    def start(self, name: str, workers: int, **env: str) -> Gateway:
        state = self.folder / name
        state.mkdir(exist_ok=True)
        log = state / "gateway.log"
        code = (
            "from homeostat.config import Settings\nfrom homeostat.serving.server.serve import run\n"
            "run(Settings.from_env(), '127.0.0.1', 0, load='serving.gateway_harness:load')"
        )
        path = os.pathsep.join([str(ROOT / "include"), str(ROOT / "tests")])
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", code],
                env={
                    **os.environ,
                    **self.env(name),
                    "HOMEOSTAT_GATEWAY_WORKERS": str(workers),
                    "PYTHONPATH": path,
                    **env,
                },
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        gateway = Gateway(process, log, state)
        self.gateways.append(gateway)
        return gateway

    def stop(self) -> None:
        for gateway in self.gateways:
            if gateway.process.poll() is None:
                gateway.process.send_signal(signal.SIGTERM)
        for gateway in self.gateways:
            try:
                gateway.process.wait(60)
            except subprocess.TimeoutExpired:
                gateway.process.kill()
                gateway.process.wait()


def now():
    return SystemClock().now()


@contextlib.contextmanager
def installation(folder: Path, ledger_url: str = "") -> Iterator[Installation]:
    made = Installation(folder, ledger_url)
    try:
        yield made
    finally:
        made.stop()
        made.ledger.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """One client's request: when it was answered (monotonic), by whom, with which status (0: broken)."""

    sent: float
    at: float
    version: str
    status: int
    client: int


class Load:
    """Connections that send requests one after another until stopped; a broken one is replaced at once."""

    def __init__(self, ports: list[int], connections: int, *, pause: float = 0.0) -> None:
        self.answers: list[Answer] = []
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=(ports[i % len(ports)], i), daemon=True)
            for i in range(connections)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(45)

    def times_seen(self, version: str) -> int:
        return sum(answer.version == version for answer in list(self.answers))

    def sent_after(self, moment: float) -> int:
        return sum(answer.sent > moment for answer in list(self.answers))

    @property
    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status != 200]

    def _ask(self, port: int, number: int) -> None:
        connection, serial = None, 0
        headers = {"Content-Type": "application/json"}
        while not self._stop.is_set():
            serial += 1
            body = json.dumps({"dataframe_records": [{**ROW, "unit": f"{number}-{serial}"}]})
            sent = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                connection.request("POST", "/models/pump/invocations", body, headers)
                answer = connection.getresponse()
                answer.read()
                version, status = answer.getheader("x-homeostat-version", ""), answer.status
            except (OSError, http.client.HTTPException):
                version, status = "", 0
                if connection is not None:
                    connection.close()
                connection = None
            self.answers.append(Answer(sent, time.monotonic(), version, status, number))
            if self._pause:
                time.sleep(self._pause)
        if connection is not None:
            connection.close()
