"""SageMaker's container contract: `serve`, /ping, /invocations, and a clean exit after SIGTERM."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from homeostat.config import Settings
from homeostat.serving.server.serve import DRAIN_SECONDS
from homeostat.storage.prediction_log import read_predictions
from serving.gateway_harness import until
from serving.test_gateway_real import MODEL, PIPELINE, cached_version, enter, wait_for

ROOT = Path(__file__).parents[2]


def test_the_drain_ends_before_sagemaker_kills_the_container():
    assert DRAIN_SECONDS + 5 <= 30  # what comes after it is the log's last flush


@pytest.mark.slow
def test_a_request_in_flight_at_sigterm_gets_its_response_and_is_logged(tmp_path):
    write_home(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        "HOMEOSTAT_HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",  # nothing listens there
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "include"),
    }
    settings = Settings.from_env(env)
    settings.state.mkdir(parents=True)
    config = settings.load_model("tiny")
    from homeostat.adapters import build_ports

    ports = build_ports(settings)
    champion, estimator, frame = cached_version(settings, config, 1)
    begun = datetime.now(UTC)
    log = (tmp_path / "gateway.log").open("wb")
    process = subprocess.Popen(
        [ROOT / "infra" / "image" / "serve"], env=os.environ | env, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as asked:
            not_yet = wait_for_answer(lambda: asked.get("/ping"), process, tmp_path)
            assert not_yet.status_code == 503  # nothing was promoted yet
            enter(ports.ledger, config, champion, begun)
            wait_for(lambda: asked.get("/ping"), process, tmp_path)
        body = json.dumps({"instances": frame[["a", "b"]].to_numpy()[:20].tolist()}).encode()
        halfway = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        halfway.putrequest("POST", "/invocations")
        halfway.putheader("Content-Type", "application/json")
        halfway.putheader("Content-Length", str(len(body)))
        halfway.putheader("Expect", "100-continue")
        halfway.endheaders(body[:100])
        assert b"100 Continue" in halfway.sock.recv(1024), "the request is being read"
        process.send_signal(signal.SIGTERM)
        until(lambda: refused(port), "no new connection is taken")
        halfway.send(body[100:])
        response = halfway.getresponse()
        assert response.status == 200
        expected = estimator.predict(frame[["a", "b"]].to_numpy()[:20]).tolist()
        assert json.loads(response.read())["predictions"] == expected
        assert process.wait(60) == 0, (tmp_path / "gateway.log").read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        log.close()
    rows = read_predictions(ports.store, config, begun, datetime.now(UTC) + timedelta(minutes=1)).rows
    assert len(rows) == 20


def refused(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except ConnectionError:
        return True
    return False


def write_home(home):
    """A model, and the command as it is installed, whether it is installed here or not."""
    folder = home / "include" / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "model.yaml").write_text(MODEL)
    (folder / "pipeline.py").write_text(PIPELINE)
    command = home / "homeostat"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from homeostat.cli import main; main()" "$@"\n')
    command.chmod(0o755)


def wait_for_answer(ask, process, home):
    """The first answer of any status."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert process.poll() is None, (home / "gateway.log").read_text()
        try:
            return ask()
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError((home / "gateway.log").read_text())
