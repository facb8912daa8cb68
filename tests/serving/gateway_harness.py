"""The real app on a free port over real HTTP, with ports in memory and bundles of a few bytes."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import threading
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pandas as pd
import uvicorn

from homeostat.adapters import fake_ports
from homeostat.adapters.bundle_files import check_digest, tree_digest
from homeostat.adapters.clock import SystemClock
from homeostat.config import ModelConfig, Settings
from homeostat.core.profile import FeatureKind, Reference
from homeostat.core.rollout import LabelFacts, Plan, VersionRef, begin
from homeostat.ports import Ports
from homeostat.serving import Options, create_app
from homeostat.serving.inference import shadow_client, shadow_worker
from sample_model import load_as_gateway

TOKEN = "a-token-for-tests"
LOAD = "serving.gateway_harness:load"
#: When set, hanging predict calls return.
RELEASED = threading.Event()
#: The candidate's time limit exceeds the stalls of a busy machine; tests of a slow candidate lower it.
FAST = Options(flush_seconds=0.3, tick_seconds=0.1, poll_seconds=0.03, candidate_timeout=5.0)


def model_config(name="pump", task="classification", **more) -> ModelConfig:
    raw = {
        "name": name,
        "task": task,
        "pipeline": "pipeline.py:build",
        "source": {"kind": "predictions"},
        "schema": {
            "key": "unit",
            "label": {"name": "y", "delay": "1h"},
            "features": {
                "a": {"type": "number"},
                "b": {"type": "number"},
                "colour": {"type": "category", "categories": ["red", "blue"]},
                "old": {"type": "number", "required": False},
            },
        },
        "shadow": {"duration": "1h", "min_samples": 20},
        "canary": {"steps": [0.5], "step_duration": "1h", "min_samples": 20},
    }
    return ModelConfig.model_validate(raw | more)


class ClockAhead(SystemClock):
    """The machine's clock, which a test can set ahead."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


class FakePredictor:
    """Predicts a + b (regression) or whether a > b (classification), with the faults of its manifest."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        self.manifest = manifest
        self.calls = 0

    def predict(self, frame: pd.DataFrame) -> Any:
        self.calls += 1
        time.sleep(self.manifest.get("slow", 0.0))
        if (frame["a"] == self.manifest.get("hangs_on")).any():
            RELEASED.wait(60)
        if self.manifest.get("raises") or (frame["a"] == -666).any():
            raise ValueError("a message that quotes row 4711")
        a, b = frame["a"].to_numpy(), frame["b"].to_numpy()
        if self.manifest["task"] == "regression":
            values = a + b + self.manifest.get("shift", 0.0)
        else:
            values = (a > b).astype(float)
            if self.manifest.get("invert"):
                values = 1.0 - values
            if self.manifest.get("wrong_where") is not None:
                values = np.where(frame["b"] == self.manifest["wrong_where"], 1.0 - values, values)
        every = self.manifest.get("nan_every")
        if every and self.calls % every == 0:
            values[:] = np.nan
        return SimpleNamespace(prediction=values, confidence=np.full(len(frame), 0.9))


def load(folder: Path, trusted_types: tuple[str, ...], *, digest: str, config: ModelConfig) -> Any:
    check_digest(folder, digest, "bundle")
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest.get("unloadable"):
        raise RuntimeError("this pickle is not yours")
    if manifest.get("fails_in_shadow") and multiprocessing.parent_process() is not None:
        raise RuntimeError("this process lacks a library")
    reference = Reference.from_bytes((folder / "reference.bin").read_bytes())
    return SimpleNamespace(predictor=FakePredictor(manifest), reference=reference, manifest=manifest)


@dataclass
class GatewayFixture:
    """Ports, settings and model of one gateway under test."""

    ports: Ports
    settings: Settings
    config: ModelConfig
    folder: Path
    options: Options = FAST
    serial: int = 0
    labels: LabelFacts | None = None

    def version(self, *, gate="passed", **faults) -> VersionRef:
        """Register a bundle with the given faults."""
        self.serial += 1
        folder = self.folder / f"bundle{self.serial}"
        folder.mkdir()
        task = self.config.task
        valid = {"classes": ["0", "1"]} if task == "classification" else {"prediction_range": [-1e3, 1e3]}
        manifest = {"task": task, "serial": self.serial, **valid, **faults}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "model.skops").write_bytes(b"none")
        kind: FeatureKind = "category" if task == "classification" else "number"
        seen = pd.DataFrame({"prediction": ["0", "1"] * 50 if kind == "category" else np.arange(100.0)})
        (folder / "reference.bin").write_bytes(Reference.fit(seen, {"prediction": kind}).to_bytes())
        key = f"run-{self.serial}"
        run = self.ports.registry.start_run(self.config.name, key, name="train", tags={})
        digest = tree_digest(folder)
        tags = {"homeostat.gate": gate}
        found = self.ports.registry.register(self.config.name, key, run, folder, digest, tags)
        return VersionRef(found.version, digest)

    def begin(self, ref: VersionRef, *, first_waits: bool = False, **more) -> None:
        """Begin a rollout in the ledger, as the retrain DAG does; a first version is champion at once."""
        now = self.ports.clock.now()
        traffic = self.ports.ledger.read(self.config.name)
        plan = Plan.of(self.config, approval=more.pop("approval", False), labels=self.labels)
        step = begin(traffic, ref, f"rollout-{ref.version}", plan, now, **more)
        self.ports.ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)
        if not first_waits:
            load_as_gateway(self.config.name, self.ports.ledger, now)

    def traffic(self):
        return self.ports.ledger.read(self.config.name)


class Client:
    """An HTTP client for a gateway under test."""

    def __init__(self, url: str, app: Any, thread: threading.Thread | None = None) -> None:
        self.url = url
        self.thread = thread
        self.app = app
        self.runtime = app.runtime
        self.http = httpx.Client(base_url=url, timeout=30.0, trust_env=False)

    def score(self, *rows: dict[str, Any], model="pump", **headers) -> httpx.Response:
        rows = rows or ({"a": 1.0, "b": 0.0, "colour": "red"},)
        return self.http.post(
            f"/models/{model}/invocations", json={"dataframe_records": list(rows)}, headers=headers
        )

    def labels(self, *labels: dict[str, Any], model="pump") -> httpx.Response:
        return self.http.post(f"/models/{model}/labels", json={"labels": list(labels)})

    def order(self, path: str, body: Any = None, token: str | None = TOKEN) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.http.post(f"/control/{path}", json=body, headers=headers)

    def ready(self, model="pump") -> None:
        until(lambda: self.runtime.states[model].table.champion is not None, "a champion is loaded")


def until(condition, what: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s until {what}"
        time.sleep(0.01)


def shadow_at_usual_priority(connection: Any, job: Any) -> None:
    """Run a shadow process at usual priority: on a busy machine one of idle priority would starve."""
    shadow_worker._lower_priority = lambda: None
    shadow_worker.main(connection, job)


@contextlib.contextmanager
def serving(setup: GatewayFixture, *, models=None, load=LOAD, **changes):
    """Serve the fixture's model until the block ends; ``load`` names the function that loads bundles."""
    options = replace(setup.options, **changes)
    models = models or {setup.config.name: setup.config}
    app = create_app(models, setup.ports, setup.settings, options, load=load)
    config = uvicorn.Config(
        app, port=0, log_level="warning", lifespan="on", access_log=False, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    usual, shadow_client.main = shadow_client.main, shadow_at_usual_priority
    try:
        until(lambda: server.started or not thread.is_alive(), "the server has started")
        port = server.servers[0].sockets[0].getsockname()[1]
        client = Client(f"http://127.0.0.1:{port}", app, thread)
        try:
            yield client
        finally:
            client.http.close()
    finally:
        server.should_exit = True
        thread.join(30.0)
        shadow_client.main = usual


def make_gateway_fixture(tmp_path: Path, config: ModelConfig | None = None, **ports) -> GatewayFixture:
    env = {"HOMEOSTAT_HOME": str(tmp_path), "HOMEOSTAT_CONTROL_TOKEN": TOKEN}
    settings = Settings.from_env(env)
    made = fake_ports(clock=ClockAhead(), **ports)
    folder = tmp_path / "bundles"
    folder.mkdir(exist_ok=True)
    return GatewayFixture(made, settings, config or model_config(), folder)
