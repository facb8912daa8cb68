"""Real services for the tests, one of each per session: MLflow, S3 (moto) and PostgreSQL.

Each listens on loopback under a free port, keeps its files in a folder of its own and is stopped at the end.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import homeostat  # noqa: F401  # first: its setting of OpenMP is read when scikit-learn is loaded
from distribution import GroupScheduling, arrange
from mlflow_process import running_mlflow


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Keep the tests of a group in one worker."""
    return GroupScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests for the workers."""
    arrange(items)


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A function that finds a port on which nobody listens."""

    def find() -> int:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            return int(sock.getsockname()[1])

    return find


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]) -> Iterator[str]:
    """The URL of a real MLflow server on SQLite."""
    folder = tmp_path_factory.mktemp("mlflow")
    with running_mlflow(folder, folder / "files", free_port()) as url:
        yield url


@dataclass(frozen=True, slots=True)
class S3Server:
    """moto's S3 on loopback, with one bucket; the environment points boto3 at it."""

    endpoint: str
    bucket: str


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """moto's S3 with an empty bucket; ``AWS_ENDPOINT_URL`` and credentials are set for the session."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = S3Server(f"http://{host}:{port}", "homeostat-tests")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", found.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=found.bucket)
        try:
            yield found
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgres_url(free_port: Callable[[], int]) -> Iterator[str]:
    """The SQLAlchemy URL of an empty database in a real PostgreSQL."""
    programs = _postgres_programs()
    root = os.geteuid() == 0
    as_user = ["runuser", "-u", "postgres", "--"] if root else []
    # Not below pytest's own folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="homeostat-pg-", dir="/tmp"))
    if root:
        shutil.chown(folder, "postgres", "postgres")
    port, user = free_port(), "postgres" if root else pwd.getpwuid(os.geteuid()).pw_name

    def run(*command: str) -> None:
        done = subprocess.run([*as_user, *command], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            log = folder / "log"
            pytest.fail(f"{command[0]} failed:\n{done.stderr}\n{log.read_text() if log.exists() else ''}")

    data, control = str(folder / "data"), str(programs / "pg_ctl")
    try:
        run(str(programs / "initdb"), "-D", data, "-U", user, "-A", "trust", "-N", "-E", "UTF8")
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        run(control, "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            run(str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", user, "homeostat")
            yield f"postgresql+psycopg2://{user}@127.0.0.1:{port}/homeostat"
        finally:
            run(control, "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _postgres_programs() -> Path:
    """The newest PostgreSQL of this machine; without one the test is skipped, aloud."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    cure = "apt-get install postgresql"
    if os.environ.get("CI") == "true" and _apt_has_postgresql():
        pytest.fail(f"PostgreSQL is not installed, and CI is to test against it: {cure}")
    pytest.skip(f"PostgreSQL is not installed, so the ledger is not tested against it: {cure}")


def _apt_has_postgresql() -> bool:
    if not shutil.which("apt-cache"):
        return False
    shown = subprocess.run(["apt-cache", "show", "postgresql"], capture_output=True, check=False)
    return shown.returncode == 0
