"""The whole gateway as its own process, with a real pipeline, a real ledger and no MLflow anywhere."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest

from homeostat.config import Settings
from homeostat.core.rollout import Plan, VersionRef, begin
from homeostat.storage.prediction_log import read_predictions
from sample_model import load_as_gateway

MODEL = """
name: tiny
task: classification
pipeline: pipeline.py:build
source: {kind: predictions}
schema:
  label: {name: y}
  features:
    a: {type: number}
    b: {type: number}
shadow: {duration: 1h, min_samples: 20}
"""
PIPELINE = """
def build():
    from sklearn.ensemble import HistGradientBoostingClassifier
    return HistGradientBoostingClassifier(max_iter=10)
"""


@pytest.fixture
def home(tmp_path):
    folder = tmp_path / "include" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(textwrap.dedent(PIPELINE))
    return tmp_path


def cached_version(settings, config, seed):
    """Train a version and put it into the gateway's cache."""
    from homeostat.bundle.evaluate import make_reference
    from homeostat.bundle.files import write_bundle
    from homeostat.bundle.predictor import Predictor
    from homeostat.retraining.fit import fit

    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"a": rng.normal(size=400), "b": rng.normal(size=400)})
    frame["y"] = (frame["a"] > frame["b"]).astype(int)
    frame["timestamp"] = pd.date_range("2026-01-01", periods=400, freq="min", tz="UTC")
    estimator = fit(config, frame, None)
    reference = make_reference(config, Predictor.of(config, estimator), frame)
    made = settings.state / f"made-{seed}"
    digest = write_bundle(made, config, estimator, reference, {})
    cached = settings.cache / "bundles" / digest
    cached.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made, cached)
    return VersionRef(str(seed), digest), estimator, frame


def enter(ledger, config, ref, now):
    traffic = ledger.read(config.name)
    step = begin(traffic, ref, f"run-{ref.version}", Plan.of(config), now)
    ledger.write(step.traffic, kind=step.kind, reason=step.reason, by="test", at=now)
    load_as_gateway(config.name, ledger, now)


def test_with_only_its_cache_the_gateway_serves_shadows_logs_and_drains(home):
    from homeostat.adapters import build_ports

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        "HOMEOSTAT_HOME": str(home),
        "HOMEOSTAT_CONTROL_TOKEN": "t",
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",  # nothing listens there
        "HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "600",
    }
    settings = Settings.from_env(env)
    settings.state.mkdir(parents=True)
    config = settings.load_model("tiny")
    ports = build_ports(settings)
    champion, estimator, frame = cached_version(settings, config, 1)
    candidate, _, _ = cached_version(settings, config, 2)
    begun = datetime.now(UTC)
    enter(ports.ledger, config, champion, begun)
    enter(ports.ledger, config, candidate, begun)
    import homeostat

    include = str(Path(homeostat.__file__).parents[1])
    code = (
        "from homeostat.config import Settings\nfrom homeostat.serving.server.serve import run\n"
        f"run(Settings.from_env(), '127.0.0.1', {port})"
    )
    log = (home / "gateway.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **env, "PYTHONPATH": include},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            body = {"inputs": {"a": frame["a"].tolist()[:50], "b": frame["b"].tolist()[:50]}}
            answer = wait_for(lambda: http.post("/invocations", json=body), process, home)
            assert (
                answer.json()["predictions"] == estimator.predict(frame[["a", "b"]].to_numpy()[:50]).tolist()
            )
            assert answer.headers["x-homeostat-version"] == "1"

            def compared():
                http.post("/invocations", json=body)
                tallies = ports.ledger.evidence("tiny", "run-2")
                return tallies.get(("shadow", "shadow")) and tallies["shadow", "shadow"].compared >= 50

            end = time.monotonic() + 120
            while not compared():
                assert time.monotonic() < end, (home / "gateway.log").read_text()
                time.sleep(0.1)
            spec = http.get("/openapi.json").json()
            assert {"/invocations", "/models/{model}/labels", "/control/models/{model}/rollback"} <= set(
                spec["paths"]
            )
            assert "Homeostat gateway" in http.get("/").text
            assert http.get("/models").json()["models"][0]["phase"] == "shadow"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        log.close()
    rows = read_predictions(ports.store, config, begun, datetime.now(UTC) + timedelta(minutes=1)).rows
    assert len(rows) % 50 == 0
    assert len(rows) >= 100
    assert "Traceback" not in (home / "gateway.log").read_text()


def wait_for(ask, process, home):
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, (home / "gateway.log").read_text()
        try:
            answer = ask()
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code == 200:
            return answer
        assert answer.status_code == 503, answer.text
        time.sleep(0.1)
    raise AssertionError((home / "gateway.log").read_text())
