"""One trace from Airflow's DAG run to the gateway's log: real Airflow, MLflow, gateway and OTLP receiver."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import homeostat
from dags.operator_harness import UNTIL, first_version_loader
from otlp_receiver import otlp_receiver

ROW = {"a": 1.0, "b": 0.5, "kind": "red"}
STEPS = ("assemble", "train", "validate", "gate", "register", "finalize")


@contextmanager
def running_gateway(setup, port, otel, log: Path):
    env = {
        **os.environ,
        **setup.env,
        **otel,
        "HOMEOSTAT_GATEWAY_TICK_SECONDS": "0.1",
        "PYTHONPATH": str(Path(homeostat.__file__).parents[1]),
    }
    code = (
        "from homeostat.config import Settings\nfrom homeostat.serving.server.serve import run\n"
        f"run(Settings.from_env(), '127.0.0.1', {port})"
    )
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=env, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield process
        process.terminate()
        process.wait(40)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def send_until_done(port, retrain, headers):
    """Send some requests a second until the retrain has ended; return its result and the last response."""
    last = None
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
        while not retrain.done():
            try:
                last = http.post("/invocations", json={"inputs": [ROW] * 10}, headers=headers)
            except httpx.TransportError:
                last = None
            time.sleep(0.1)
    return retrain.result(), last


def retrain(setup, hour, otel=None):
    """Run the retrain DAG; a busy machine may take minutes to start Airflow."""
    return setup.airflow.call(
        "run",
        {**setup.env, **(otel or {})},
        timeout=240,
        dag=f"retrain__{setup.name}",
        conf={"until": UNTIL},
        at=f"2026-03-02T{hour:02}:00:00+00:00",
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_trace_of_a_retrain_ends_in_the_log_of_the_gateway(setup, free_port, tmp_path):
    port, log = free_port(), tmp_path / "gateway.log"
    with first_version_loader(setup):
        assert retrain(setup, 1)["state"] == "success"
    client = f"00-{'c' * 32}-{'d' * 16}-01"
    with otlp_receiver() as receiver:
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with running_gateway(setup, port, otel, log):
            running = setup.in_background(retrain, setup=setup, hour=2, otel=otel)
            done, response = send_until_done(port, running, {"traceparent": client})
        assert done["state"] == "success", log.read_text()
        spans = list(receiver.spans)
    rollout = setup.traffic.rollout
    assert rollout.phase == "champion", log.read_text()
    trace = rollout.traceparent.split("-")[1]
    own = {span.name: span for span in spans if span.trace == trace}
    steps = [f"retrain.{step}" for step in STEPS]
    assert {"retrain", *steps, "rollout.load", "rollout.shadow", "rollout.canary"} <= set(own)
    assert {own[name].service for name in ("retrain", *steps)} == {"homeostat-airflow"}
    assert own["rollout.shadow"].parent == own["retrain"].id == rollout.traceparent.split("-")[2]
    assert own["retrain"].attributes["homeostat.verdict"] == "promoted"
    said = log.read_text()
    for stage in ("shadow", "canary step 1 of 1", "champion"):
        assert re.search(rf"follows revision \d+ of the ledger, version 2: {stage} trace_id={trace}\n", said)
    version = setup.ports.registry.version(setup.name, "2")
    assert (
        setup.ports.registry._mlflow.client.get_run(version.run_id).data.tags["homeostat.trace_id"] == trace
    )
    requests = {span.name for span in spans if span.trace == "c" * 32}
    assert requests == {"POST /invocations", "parse", "wait", "predict", "log"}
    shadows = [span for span in spans if span.name == "shadow"]
    assert {link[0] for span in shadows for link in span.links} == {"c" * 32, trace}
    assert response is not None
    assert response.status_code == 200
