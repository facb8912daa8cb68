"""``infra/terraform``, deployed by the steps of docs/aws.md to moto, an AWS simulator on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from aws.docs_runner import REGION
from aws.provider_mirror import find_mirror
from page_commands import CommandResult

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class AwsStack:
    """The deployed stack: Terraform's outputs, and how to reach moto.

    ``environment`` has boto3's settings for moto, ``clone_folder`` is the deployed clone, ``steps`` are the
    commands that were run, and ``user_environment`` is the environment that they ran in.
    """

    endpoint: str
    outputs: Mapping[str, Any]
    environment: Mapping[str, str]
    clone_folder: Path
    steps: Sequence[CommandResult]
    user_environment: Mapping[str, str] = field(repr=False)
    terraform: Terraform = field(repr=False)

    @property
    def airflow(self) -> dict[str, str]:
        """Return the environment of Airflow's processes, with boto3's settings for moto."""
        return {**self.environment, **self.outputs["airflow_environment"]}

    @property
    def images(self) -> dict[str, str]:
        """Return the digest of each pushed image: detector and training."""
        written = (self.clone_folder / "infra" / "terraform" / "images.auto.tfvars").read_text()
        return dict(re.findall(r'^(\w+)_image = "\S+@(sha256:\w+)"$', written, re.MULTILINE))

    def client(self, name: str) -> Any:
        """Return a boto3 client for moto, independent of the environment."""
        import boto3

        session: Any = boto3
        return session.client(
            name,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def docker_calls(self) -> list[dict[str, Any]]:
        """Return the recorded calls of docker."""
        return [
            json.loads(line) for line in Path(self.user_environment["DOCKER_CALLS"]).read_text().splitlines()
        ]


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in the clone's ``infra/terraform``, or in a folder below it."""

    folder: Path
    environment: Mapping[str, str]

    def __call__(
        self, *command: str, within: str = ".", expect: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; fail the test with its output unless the exit status is in ``expect``."""
        done = subprocess.run(
            ["terraform", *command],
            cwd=self.folder / within,
            env={**self.environment, "TF_IN_AUTOMATION": "1", "TF_INPUT": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in expect:
            pytest.fail(f"terraform {' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def state(self, within: str = ".") -> list[str]:
        """Return the addresses of all managed resources, without data sources."""
        found = self("state", "list", within=within, expect=(0, 1)).stdout.split()
        return [address for address in found if not address.startswith("data.")]


class StackDeployment:
    """Deploy to moto while other tests run, and destroy everything at the end."""

    def __init__(self) -> None:
        self.missing = ""
        self._folder = Path(tempfile.mkdtemp(prefix="homeostat-aws-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack: AwsStack | None = None
        mirror, self.missing = find_mirror()
        if self.missing:
            return
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self._user_environment = user_environment(self._folder, self.endpoint, mirror)
        (self._folder / "environment.json").write_text(json.dumps(self._user_environment))
        self._start("moto", HERE / "moto_as_aws.py", "-H", "127.0.0.1", "-p", str(port))
        self._run_docs("up")

    def stack(self) -> AwsStack:
        """Wait for the steps of docs/aws.md and return the stack; skip the test without Terraform."""
        if self.missing:
            pytest.skip(self.missing)
        if self._stack is None:
            steps = self._docs_result("up")
            clone_folder = self._folder / "clone_folder"
            terraform = Terraform(clone_folder / "infra" / "terraform", self._user_environment)
            outputs = json.loads(terraform("output", "-json").stdout)
            self._stack = AwsStack(
                endpoint=self.endpoint,
                outputs={name: each["value"] for name, each in outputs.items()},
                environment=credentials(self.endpoint),
                clone_folder=clone_folder,
                steps=steps,
                user_environment=self._user_environment,
                terraform=terraform,
            )
        return self._stack

    def start_teardown(self) -> None:
        """Start the teardown, in parallel to other tests, with an object in each bucket."""
        if self._stack is None or "down" in self._running:
            return
        s3 = self._stack.client("s3")
        for name in ("data_bucket", "artifact_bucket"):  # objects in the second are locked
            bucket, key = self._stack.outputs[name], "store/log/leftover.parquet"
            s3.put_object(Bucket=bucket, Key=key, Body=b"leftover", ChecksumAlgorithm="SHA256")
        self._run_docs("down")

    def teardown(self) -> list[CommandResult]:
        """Wait for the teardown, started now if it was not; return its commands."""
        self.start_teardown()
        return self._docs_result("down")

    def stop(self) -> None:
        """Kill running processes and remove their files."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, name: str, *command: str | Path, env: Mapping[str, str] | None = None) -> Any:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=env, start_new_session=True
            )
        self._processes.append(process)
        return process

    def _run_docs(self, way: str) -> None:
        env = os.environ | credentials(self.endpoint) | {"PYTHONPATH": str(HERE.parent)}
        arguments = (str(self._folder), self.endpoint, str(self._folder / "environment.json"))
        self._running[way] = self._start(way, HERE / "docs_runner.py", way, *arguments, env=env)

    def _docs_result(self, way: str) -> list[CommandResult]:
        if self._running[way].wait() != 0:
            pytest.fail(f"steps {way} failed: {(self._folder / f'{way}.log').read_text()[-8000:]}")
        return [
            CommandResult(**each) for each in json.loads((self._folder / f"{way}.json").read_text())["steps"]
        ]


def user_environment(folder: Path, endpoint: str, mirror: Path) -> dict[str, str]:
    """Return the environment of a user with credentials for moto, without any setting of this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    unreachable = "http://127.0.0.1:9"
    return {
        **kept,
        **credentials(endpoint),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PATH": f"{folder / 'bin'}:{kept['PATH']}",
        "DOCKER_CALLS": str(folder / "docker.jsonl"),
        # The virtualenv is linked, so it would import this repository's files.
        "PYTHONPATH": str(folder / "clone_folder" / "include"),
        # Terraform offline, with more parallel requests.
        "TF_CLI_CONFIG_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_ARGS_init": f"-plugin-dir={mirror}",
        "TF_CLI_ARGS_apply": "-parallelism=30",
        "TF_CLI_ARGS_destroy": "-parallelism=30",
        # Services that are not deployed.
        "MLFLOW_TRACKING_URI": unreachable,
        "HOMEOSTAT_GATEWAY": unreachable,
        "COLUMNS": "400",
    }


def credentials(endpoint: str) -> dict[str, str]:
    """Return the settings of boto3 and Terraform's provider for moto."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }
