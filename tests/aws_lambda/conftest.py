"""The small model with two champions, trained once per session; each test gets a world of its own."""

import importlib
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
from aws_lambda.lambda_fixture import Both, Trained, both_sides, train_two
from homeostat.adapters import open_store, open_triggers

FRESH = Path(__file__).with_name("cold_start.py")
INCLUDE = Path(__file__).resolve().parents[2] / "include"


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("homeostat.bundle.evaluate"), "p99_latency", lambda *_: 1.0)
        patch.setattr("homeostat.bundle.evaluate.p99_latency", lambda *_: 1.0)
        return train_two(tmp_path_factory.mktemp("detector") / "toy")


@pytest.fixture
def both(trained):
    return both_sides(trained)


@pytest.fixture(scope="session")
def trained_regression(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importlib.import_module("homeostat.bundle.evaluate"), "p99_latency", lambda *_: 1.0)
        patch.setattr("homeostat.bundle.evaluate.p99_latency", lambda *_: 1.0)
        return train_two(tmp_path_factory.mktemp("detector-regression") / "toy", task="regression")


@dataclass(frozen=True)
class Cloud:
    """Where a detector finds its store and its queue; moto on loopback, a proxy with faults before it."""

    proxy: Proxy
    store: str
    queue: str

    def both(self, trained: Trained) -> Both:
        return both_sides(trained, open_store(self.store), open_triggers(self.queue))

    def start(self, sent: dict[str, str], *more: str, hidden: Iterable[str] = ()) -> subprocess.Popen[str]:
        """A fresh interpreter that is given this event, without these packages."""
        env = {name: os.environ[name] for name in os.environ if name.startswith(("AWS_", "PATH", "LANG"))}
        env |= {"HOMEOSTAT_STORE": self.store, "HOMEOSTAT_TRIGGERS": self.queue, "PYTHONPATH": str(INCLUDE)}
        env["HIDDEN"] = ",".join(hidden)
        command = [sys.executable, str(FRESH), json.dumps(sent), *more]
        return subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=FRESH.parent
        )

    def told(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """What a fresh interpreter told about itself."""
        out, err = process.communicate()
        assert process.returncode == 0, err
        return json.loads(out.splitlines()[-1])


@pytest.fixture
def cloud(s3_server, tmp_path, monkeypatch):
    with proxy_for(s3_server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        # botocore tries again as often as ever, but does not sleep in between.
        monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
        sqs = boto3.client("sqs")
        name = f"d-{uuid.uuid4().hex[:8]}.fifo"
        queue = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
        yield Cloud(proxy, f"s3://{s3_server.bucket}/{uuid.uuid4().hex[:8]}", queue)
