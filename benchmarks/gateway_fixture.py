"""Set up the gateway benchmark: models registered in an MLflow store, and the servers that serve them.

python benchmarks/gateway_fixture.py time BUNDLE BODIES      times the model's predict call alone
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from homeostat.config import Settings
from homeostat.core.rollout import Plan, VersionRef, begin, promote

HERE = Path(__file__).resolve().parent
INCLUDE = HERE.parent / "include"
TREES, SLOW_TREES = 100, 1000
ROWS = 8_000  # below 10,000, from which scikit-learn stops early: every tree is grown
_DIFFERENT_ROWS = 100
_START_SECONDS = 180.0

_MODEL = """
name: {name}
task: classification
pipeline: pipeline.py:build
source: {{kind: predictions}}
schema:
  label: {{name: y}}
  features: {{{features}}}
shadow: {{duration: 24h, min_samples: 1000000}}
canary: {{steps: [0.1], step_duration: 24h, min_samples: 1000000}}
"""
_PIPELINE = """
def build():
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline

    return make_pipeline(HistGradientBoostingClassifier(max_iter={trees}))
"""


@dataclass
class BenchmarkFixture:
    """A folder with an MLflow store and one home per gateway, each with its own ledger and log."""

    folder: Path
    fitted: dict[tuple[int, int], tuple[Any, pd.DataFrame]] = field(default_factory=dict)
    serial: int = 0

    def env(self, home: str) -> dict[str, str]:
        """Return the environment of one gateway."""
        return {
            "HOMEOSTAT_HOME": str(self.folder / home),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/mlflow.db",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def settings(self, home: str) -> Settings:
        """Return the settings of one gateway."""
        return Settings.from_env(self.env(home))

    def model(self, home: str, name: str, features: int) -> None:
        """Write a model's folder."""
        folder = self.settings(home).models / name
        folder.mkdir(parents=True)
        listed = ", ".join(f"f{i}: {{type: number}}" for i in range(features))
        (folder / "model.yaml").write_text(_MODEL.format(name=name, features=listed))
        (folder / "pipeline.py").write_text(_PIPELINE.format(trees=TREES))

    def register(self, home: str, name: str, *, trees: int = TREES) -> tuple[VersionRef, Path]:
        """Train a version and register it in MLflow; the same trees on the same rows are fitted once."""
        from homeostat.adapters import build_ports
        from homeostat.bundle.evaluate import make_reference
        from homeostat.bundle.files import write_bundle
        from homeostat.bundle.predictor import Predictor

        settings = self.settings(home)
        config = settings.load_model(name)
        estimator, frame = self._fit(config, trees)
        reference = make_reference(config, Predictor.of(config, estimator), frame)
        self.serial += 1
        bundle = self.folder / f"bundle-{self.serial}"
        digest = write_bundle(bundle, config, estimator, reference, {"serial": self.serial})
        registry = build_ports(settings).registry
        with contextlib.chdir(self.folder):  # a local store keeps its artifacts below the current folder
            run = registry.start_run(name, f"bench-{self.serial}", name="train", tags={})
            tags = {"homeostat.gate": "passed"}
            version = registry.register(name, f"bench-{self.serial}", run, bundle, digest, tags)
            registry.end_run(run)
        return VersionRef(version.version, digest), bundle

    def _fit(self, config: Any, trees: int) -> tuple[Any, pd.DataFrame]:
        from homeostat.retraining.fit import fit

        features = len(config.feature_names)
        if (features, trees) not in self.fitted:
            rng = np.random.default_rng(features)
            values = rng.normal(size=(ROWS if features <= 10 else 2_000, features))
            frame = pd.DataFrame(values, columns=list(config.feature_names))
            noise = rng.normal(scale=0.5, size=len(frame))
            frame["y"] = (values[:, 0] + values[:, 1] * values[:, 2] + noise > 0).astype(int)
            frame["timestamp"] = pd.date_range("2026-01-01", periods=len(frame), freq="min", tz="UTC")
            (config.folder / "pipeline.py").write_text(_PIPELINE.format(trees=trees))
            self.fitted[features, trees] = fit(config, frame, None), frame
        return self.fitted[features, trees]

    def begin_rollout(self, home: str, name: str, ref: VersionRef, **more: Any) -> None:
        """Begin a version's rollout in a gateway's ledger; the first version becomes champion at once."""
        from homeostat.adapters import build_ports

        settings = self.settings(home)
        settings.state.mkdir(parents=True, exist_ok=True)
        ledger, now = build_ports(settings).ledger, datetime.now(UTC)
        config = settings.load_model(name)
        rollout = f"rollout-{ref.version}-{now:%H%M%S%f}"
        traffic = ledger.read(name)
        if traffic.champion is None:
            # A gateway would promote it once it has loaded it, and until then a second version replaces it.
            step = promote(traffic, ref, now, "first version")
        else:
            step = begin(traffic, ref, rollout, Plan.of(config), now, **more)
        ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="benchmark", at=now)

    def bodies(self, features: int, rows: int) -> Path:
        """Return a file of ``dataframe_split`` request bodies with different rows; the same at each run."""
        path = self.folder / f"bodies-{features}-{rows}.json"
        if not path.exists():
            rng = np.random.default_rng(7)
            names = [f"f{i}" for i in range(features)]
            count = _DIFFERENT_ROWS if rows * features <= 1_000 else 2
            data = [rng.normal(size=(rows, features)).round(4).tolist() for _ in range(count)]
            texts = [json.dumps({"dataframe_split": {"columns": names, "data": each}}) for each in data]
            path.write_text(json.dumps(texts))
        return path

    def logged_rows(self, home: str, name: str, since: datetime) -> int:
        """Return how many served rows are in the prediction log."""
        from homeostat.adapters import build_ports
        from homeostat.storage.prediction_log import read_predictions

        settings = self.settings(home)
        end = datetime.now(UTC) + timedelta(minutes=1)
        found = read_predictions(build_ports(settings).store, settings.load_model(name), since, end)
        return len(found.rows)


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    log: Path

    def get(self, path: str) -> bytes:
        """GET a path; b"" while the server does not respond."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as response:
                return bytes(response.read())
        except (urllib.error.URLError, OSError):
            return b""

    def phases(self) -> dict[str, str]:
        """Return the phase of each model of a gateway, once its newest version is loaded."""
        body = self.get("/models")
        models = json.loads(body)["models"] if body else []
        return {
            model["name"]: model["phase"]
            for model in models
            if model["ready"] and (model["phase"] != "canary" or "candidate" in model["loaded"])
        }

    def counted(self, series: str) -> float:
        """Return the sum of one series of ``/metrics``."""
        lines = self.get("/metrics").decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{series}[ {{]", line))


@contextlib.contextmanager
def gateway(fixture: BenchmarkFixture, home: str, phases: Mapping[str, str]) -> Iterator[Server]:
    """Run ``homeostat gateway``; ready once every model is loaded and in the given phase."""
    port = free_port()
    command = [sys.executable, "-c", "from homeostat.cli import main; main()", "gateway", "--port", str(port)]
    env = {**os.environ, **fixture.env(home), "PYTHONPATH": str(INCLUDE)}

    def ready(server: Server) -> bool:
        return server.phases() == phases

    with running(command, env, port, fixture.folder, ready) as server:
        yield server


@contextlib.contextmanager
def mlflow(fixture: BenchmarkFixture, name: str, version: str, *more: str, **env: str) -> Iterator[Server]:
    """Run ``mlflow models serve`` for a registered version, with MLflow's defaults."""
    port = free_port()
    uri = f"models:/{name}/{version}"
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "-m", uri]
    command += ["-p", str(port), "--env-manager", "local", *more]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, **fixture.env("mlflow"), "PATH": path, **env}
    env.pop("PYTHONPATH", None)
    with running(command, env, port, fixture.folder, lambda server: server.get("/ping") != b"") as server:
        yield server


@contextlib.contextmanager
def running(
    command: list[str], env: dict[str, str], port: int, folder: Path, ready: Callable[[Server], bool]
) -> Iterator[Server]:
    """Run a server in a process group of its own, until the block ends; exit where it does not get ready."""
    log = folder / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  # our own servers
            command, env=env, cwd=folder, stdout=out, stderr=subprocess.STDOUT, process_group=0
        )
    server = Server(port, log)
    try:
        end = time.monotonic() + _START_SECONDS
        while not ready(server):
            if process.poll() is not None or time.monotonic() > end:
                sys.exit(f"{' '.join(command)} does not serve:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
        yield server
    finally:
        # Its own process group: MLflow's server is a child of the started process.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def time_model(bundle: Path, bodies: Path) -> float:
    """Return the median seconds of the pipeline's ``predict`` on one row, given as a NumPy matrix."""
    from homeostat.bundle.files import load_bundle

    estimator = load_bundle(bundle).predictor.estimator
    rows = [json.loads(text)["dataframe_split"]["data"] for text in json.loads(bodies.read_text())]
    matrices = [np.array(row, dtype=np.float64) for row in rows]
    spent = []
    for i in range(2_000):
        matrix = matrices[i % len(matrices)]
        begun = time.perf_counter()
        estimator.predict(matrix)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent[200:])


if __name__ == "__main__":
    print(json.dumps(time_model(Path(sys.argv[2]), Path(sys.argv[3]))))
