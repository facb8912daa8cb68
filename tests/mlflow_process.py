"""A real MLflow server over a SQLite file, for tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def running_mlflow(home: Path, artifacts: Path, port: int, *options: str, **more: str) -> Iterator[str]:
    """Serve ``home/mlflow.db`` and the artifacts folder; yield the URL, and stop the server at the end.

    ``options`` are further ones of ``mlflow server``, ``more`` further variables of its environment.
    """
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(artifacts)),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *options,
    ]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    env = {**os.environ, **quiet, **more}
    url, log_file = f"http://127.0.0.1:{port}", home / "server.log"
    with log_file.open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env, cwd=home, start_new_session=True)
    try:
        _wait_for_health(url, server, log_file)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, 15)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait(10)


def _wait_for_health(url: str, server: subprocess.Popen[bytes], log: Path, seconds: float = 90) -> None:
    import requests

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"{url}/health", timeout=2).ok:
                return
        time.sleep(0.2)
    pytest.fail(f"MLflow at {url} did not become healthy:\n{log.read_text()[-2000:]}")
