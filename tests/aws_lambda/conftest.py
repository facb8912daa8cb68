"""The sample model with two champions, trained once per session; each test gets its own deployment."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from aws_lambda.aws_fault_proxy import Proxy, proxy_for
from aws_lambda.lambda_fixture import LambdaDeployment, TrainedChampions, make_deployment, train_two_champions
from homeostat.adapters import open_store, open_trigger_queue
from sample_model import one_ms

COLD_START = Path(__file__).with_name("cold_start.py")
INCLUDE = Path(__file__).resolve().parents[2] / "include"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("homeostat.bundle.latency.compare_latency", one_ms)
        return train_two_champions(tmp_path_factory.mktemp("lambda") / "sample")


@pytest.fixture
def deployment(trained):
    return make_deployment(trained)


@pytest.fixture(scope="session")
def trained_regression(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("homeostat.bundle.latency.compare_latency", one_ms)
        return train_two_champions(tmp_path_factory.mktemp("lambda-regression") / "sample", task="regression")


@dataclass(frozen=True)
class Aws:
    """The Lambda function's store and queue: moto on loopback, behind a proxy that injects faults."""

    proxy: Proxy
    store: str
    queue: str

    def deployment(self, trained: TrainedChampions) -> LambdaDeployment:
        return make_deployment(trained, open_store(self.store), open_trigger_queue(self.queue))

    def start(self, payload: dict[str, str], *more: str, hidden: Iterable[str] = ()) -> subprocess.Popen[str]:
        """Start a fresh interpreter that handles this event, without these packages."""
        env = {name: os.environ[name] for name in os.environ if name.startswith(("AWS_", "PATH", "LANG"))}
        env |= {"HOMEOSTAT_STORE": self.store, "HOMEOSTAT_TRIGGERS": self.queue, "PYTHONPATH": str(INCLUDE)}
        env["HIDDEN"] = ",".join(hidden)
        command = [sys.executable, str(COLD_START), json.dumps(payload), *more]
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=COLD_START.parent
        )

    def report(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """Return the report that the fresh interpreter printed."""
        out, err = process.communicate()
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def aws(s3_server, tmp_path, monkeypatch):
    with proxy_for(s3_server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        # botocore retries as usual, but does not sleep in between.
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
        sqs = boto3.client("sqs")
        name = f"d-{uuid.uuid4().hex[:8]}.fifo"
        queue = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
        yield Aws(proxy, f"s3://{s3_server.bucket}/{uuid.uuid4().hex[:8]}", queue)
