"""The whole of ``infra/terraform``, deployed as the README says to an AWS on loopback: moto, as a process."""

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
from aws.terminal import Step

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class AwsStack:
    """What following the README made: Terraform's outputs, and how to reach the AWS that holds it all.

    ``environment`` lets boto3 (and any process of ours) speak with that AWS, ``checkout`` is the clone that
    it was deployed from, ``steps`` is what was typed there, and ``typist`` the environment of who typed it.
    """

    endpoint: str
    outputs: Mapping[str, Any]
    environment: Mapping[str, str]
    checkout: Path
    steps: Sequence[Step]
    typist: Mapping[str, str] = field(repr=False)
    terraform: Terraform = field(repr=False)

    @property
    def airflow(self) -> dict[str, str]:
        """The environment of Airflow's processes, together with the way to this AWS."""
        return {**self.environment, **self.outputs["airflow_environment"]}

    @property
    def images(self) -> dict[str, str]:
        """The digest of each image that was pushed: detector and training."""
        written = (self.checkout / "infra" / "terraform" / "images.auto.tfvars").read_text()
        return dict(re.findall(r'^(\w+)_image = "\S+@(sha256:\w+)"$', written, re.MULTILINE))

    def client(self, name: str) -> Any:
        """A boto3 client of this AWS, whatever the environment says."""
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
        """What docker was told, call by call."""
        return [json.loads(line) for line in Path(self.typist["DOCKER_CALLS"]).read_text().splitlines()]


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in a checkout's ``infra/terraform``, or in a folder below that."""

    folder: Path
    environment: Mapping[str, str]

    def __call__(
        self, *command: str, within: str = ".", expect: Sequence[int] = (0,)
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; fails the test with what Terraform said when its answer is none of ``expect``."""
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
        """The address of everything that Terraform manages here, data sources aside."""
        found = self("state", "list", within=within, expect=(0, 1)).stdout.split()
        return [address for address in found if not address.startswith("data.")]


class Deployment:
    """An AWS, and somebody who deploys to it while other tests run, and takes it down again at the end."""

    def __init__(self) -> None:
        self.missing = ""
        self._folder = Path(tempfile.mkdtemp(prefix="homeostat-aws-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self._following: dict[str, subprocess.Popen[bytes]] = {}
        self._stack: AwsStack | None = None
        mirror, self.missing = find_mirror()
        if self.missing:
            return
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        self._typist = typist(self._folder, self.endpoint, mirror)
        (self._folder / "environment.json").write_text(json.dumps(self._typist))
        self._start("moto", HERE / "moto_as_aws.py", "-H", "127.0.0.1", "-p", str(port))
        self._follow("up")

    def stack(self) -> AwsStack:
        """What the README's steps made, once they are done; skips the test, aloud, without Terraform."""
        if self.missing:
            pytest.skip(self.missing)
        if self._stack is None:
            steps = self._followed("up")
            checkout = self._folder / "checkout"
            terraform = Terraform(checkout / "infra" / "terraform", self._typist)
            outputs = json.loads(terraform("output", "-json").stdout)
            self._stack = AwsStack(
                endpoint=self.endpoint,
                outputs={name: each["value"] for name, each in outputs.items()},
                environment=credentials(self.endpoint),
                checkout=checkout,
                steps=steps,
                typist=self._typist,
                terraform=terraform,
            )
        return self._stack

    def begin_to_take_down(self) -> None:
        """Nobody needs it any longer: let that run beside other tests, too. Neither bucket is empty then."""
        if self._stack is None or "down" in self._following:
            return
        s3 = self._stack.client("s3")
        for name in ("data_bucket", "artifact_bucket"):  # the second's objects are locked
            bucket, key = self._stack.outputs[name], "store/log/left.parquet"
            s3.put_object(Bucket=bucket, Key=key, Body=b"left", ChecksumAlgorithm="SHA256")
        self._follow("down")

    def taken_down(self) -> list[Step]:
        """Take all of it down, unless that was begun; gives what was typed."""
        self.begin_to_take_down()
        return self._followed("down")

    def stop(self) -> None:
        """End what runs still, and remove its files."""
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

    def _follow(self, way: str) -> None:
        env = os.environ | credentials(self.endpoint) | {"PYTHONPATH": str(HERE.parent)}
        told = (str(self._folder), self.endpoint, str(self._folder / "environment.json"))
        self._following[way] = self._start(way, HERE / "docs_runner.py", way, *told, env=env)

    def _followed(self, way: str) -> list[Step]:
        if self._following[way].wait() != 0:
            pytest.fail(f"following the steps {way}: {(self._folder / f'{way}.log').read_text()[-8000:]}")
        return [Step(**each) for each in json.loads((self._folder / f"{way}.json").read_text())["steps"]]


def typist(folder: Path, endpoint: str, mirror: Path) -> dict[str, str]:
    """The environment of a person with credentials for this AWS; nothing of this user's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    nobody = "http://127.0.0.1:9"
    return {
        **kept,
        **credentials(endpoint),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "PATH": f"{folder / 'bin'}:{kept['PATH']}",
        "DOCKER_CALLS": str(folder / "docker.jsonl"),
        # A clone's own virtualenv would find these files by itself.
        "PYTHONPATH": str(folder / "checkout" / "include"),
        # Terraform without a network, and quicker than by default.
        "TF_CLI_CONFIG_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_ARGS_init": f"-plugin-dir={mirror}",
        "TF_CLI_ARGS_apply": "-parallelism=30",
        "TF_CLI_ARGS_destroy": "-parallelism=30",
        # What Terraform does not know, and what is not there yet.
        "MLFLOW_TRACKING_URI": nobody,
        "HOMEOSTAT_GATEWAY": nobody,
        "COLUMNS": "400",
    }


def credentials(endpoint: str) -> dict[str, str]:
    """The environment in which boto3, and Terraform's provider, speak with this AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }
