"""The whole of ``infra/terraform``, applied for real to an AWS on loopback (moto, a process of its own)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "infra" / "terraform"
REGION = "eu-central-1"
ACCOUNT = "123456789012"
DIGESTS = {"detector": "sha256:" + "d" * 64, "platform": "sha256:" + "a" * 64}
MODELS = {"bike_demand": {}, "pump_fault": {"every": "15m"}}

#: What a module needs besides to speak with moto: laid over a copy, never written into the module itself.
OVERRIDE = """
provider "aws" {
  access_key                  = "testing"
  secret_key                  = "testing"
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true

  endpoints {
%s
  }
}
"""
SERVICES = (
    *("cloudwatch", "ec2", "ecr", "ecs", "iam", "kms", "lambda", "logs", "s3"),
    *("scheduler", "secretsmanager", "sns", "sqs", "sts"),
)


@dataclass(frozen=True, slots=True)
class AwsStack:
    """What Terraform made: its outputs, and how to reach the AWS that holds it.

    ``environment`` lets boto3 (and any process of ours) speak with it, ``airflow`` is what Terraform tells
    Airflow's processes to set, and ``resources`` counts what is in Terraform's state.
    """

    endpoint: str
    outputs: Mapping[str, Any]
    environment: Mapping[str, str]
    folder: Path
    resources: int
    seconds: float
    terraform: Terraform = field(repr=False)

    @property
    def airflow(self) -> dict[str, str]:
        """The environment of Airflow's processes, together with the way to this AWS."""
        return {**self.environment, **self.outputs["airflow_environment"]}

    def client(self, name: str) -> Any:
        """A boto3 client of this AWS."""
        return client(self.endpoint, name)


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in a copy of a module, with the provider from a mirror on this machine."""

    folder: Path
    mirror: Path
    variables: Path | None = None

    def __call__(self, *command: str, expect: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
        """Run a command; fails the test with what Terraform said when its answer is none of ``expect``."""
        done = subprocess.run(
            ["terraform", *command],
            cwd=self.folder,
            env=environment(self.mirror),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in expect:
            pytest.fail(f"terraform {' '.join(command)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
        return done

    def state(self) -> list[str]:
        """The address of everything that Terraform manages here, data sources aside."""
        found = self("state", "list", expect=(0, 1)).stdout.split()
        return [address for address in found if not address.startswith("data.")]


def environment(mirror: Path) -> dict[str, str]:
    """What Terraform needs to work without a network and without this user's own settings."""
    return os.environ | {
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": os.devnull,
        "TF_CLI_ARGS_init": f"-plugin-dir={mirror}",
        "TF_IN_AUTOMATION": "1",
        "TF_INPUT": "0",
    }


def provider_mirror() -> Path:
    """A folder with the AWS provider in it; without one, or without Terraform, the test is skipped, aloud."""
    if not shutil.which("terraform"):
        pytest.skip(
            "terraform is not on PATH, so infra/terraform is not applied: install Terraform 1.11 or newer"
        )
    home = Path.home()
    folders = [
        *([Path(os.environ["TF_PLUGIN_MIRROR"])] if os.environ.get("TF_PLUGIN_MIRROR") else []),
        *(home / ".terraform.d/plugins", home / ".local/share/terraform/plugins"),
        *(Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins")),
        *(path.parent for path in sorted(Path("/opt").glob("*/registry.terraform.io"))),
    ]
    for folder in folders:
        if any(folder.glob("registry.terraform.io/hashicorp/aws/*/*")):
            return folder
    pytest.skip(
        "no mirror of the AWS provider, so infra/terraform is not applied: "
        "`cd infra/terraform && terraform providers mirror FOLDER` makes one; name it in TF_PLUGIN_MIRROR"
    )


@contextlib.contextmanager
def moto_process(port: int, log: Path) -> Iterator[str]:
    """moto on loopback as a process of its own; stopped at the end."""
    import requests

    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("moto_as_aws.py"), "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            with contextlib.suppress(requests.ConnectionError):
                # A function is only described here; the tests call its handler themselves.
                settings = {"lambda": {"use_docker": False}}
                requests.post(f"{endpoint}/moto-api/config", json=settings, timeout=10).raise_for_status()
                break
            if server.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"moto did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield endpoint
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def credentials(endpoint: str) -> dict[str, str]:
    """The environment in which boto3 speaks with this AWS."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
    }


def client(endpoint: str, name: str) -> Any:
    """A boto3 client of the AWS at this address, whatever the environment says."""
    import boto3

    return boto3.client(
        name,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def copy_module(folder: Path, endpoint: str, module: Path = MODULE) -> Path:
    """Copy a module to where Terraform may write, told to speak with this AWS."""
    shutil.copytree(
        module,
        folder,
        ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "*.tfvars", "images"),
    )
    lines = "\n".join(f'    {service} = "{endpoint}"' for service in SERVICES)
    (folder / "moto_override.tf").write_text(OVERRIDE % lines)
    return folder


def variables(endpoint: str, **more: Any) -> dict[str, Any]:
    """Values for the module's variables, with the network that moto's account comes with."""
    ec2 = client(endpoint, "ec2")
    vpc = next(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"] if each["IsDefault"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    registry = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    return {
        "project": "homeostat-test",
        "region": REGION,
        "models": MODELS,
        "vpc_id": vpc,
        "subnet_ids": sorted(each["SubnetId"] for each in subnets)[:2],
        "mlflow_tracking_uri": "http://127.0.0.1:5000",
        "detector_image": f"{registry}/homeostat-test-detector@{DIGESTS['detector']}",
        "training_image": f"{registry}/homeostat-test-platform@{DIGESTS['platform']}",
        "artifact_lock_days": 30,
        "destroy_data": True,
        **more,
    }


def apply(folder: Path, endpoint: str, mirror: Path, **more: Any) -> AwsStack:
    """Apply the module to this AWS from nothing."""
    terraform = Terraform(copy_module(folder, endpoint), mirror)
    (folder / "test.auto.tfvars.json").write_text(json.dumps(variables(endpoint, **more)))
    terraform("init")
    begun = time.monotonic()
    terraform("apply", "-auto-approve", "-parallelism=30")
    seconds = time.monotonic() - begun
    outputs = json.loads(terraform("output", "-json").stdout)
    return AwsStack(
        endpoint=endpoint,
        outputs={name: each["value"] for name, each in outputs.items()},
        environment=credentials(endpoint),
        folder=folder,
        resources=len(terraform.state()),
        seconds=seconds,
        terraform=terraform,
    )
