"""Run the commands of docs/aws.md, "Deploying" or "Taking it down", in a terminal.

Runs as a program in parallel to tests, because Terraform mostly waits for queues, as on AWS. Stops at the
first command that fails.

    docs_runner.py up FOLDER ENDPOINT ENVIRONMENT      FOLDER must be empty
    docs_runner.py down FOLDER ENDPOINT ENVIRONMENT

``ENVIRONMENT`` is a JSON file. The commands and their results are written to FOLDER/up.json or down.json.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws.clone import ROOT, clone, commit, edit_variables, move_to_aws, write_docker
from page_commands import CommandResult, Terminal, blocks, commands

PROJECT, REGION = "homeostat-test", "eu-central-1"
#: The models of terraform.tfvars.example, with monitor.every.
MODELS = {"bike_demand": "1h", "pump_fault": "15m"}
PAGE = ROOT / "docs" / "aws.md"


class DocsRunner:
    """Run commands, confirm Terraform's prompts, and record the results."""

    def __init__(self, terminal: Terminal, record: Path) -> None:
        self.terminal = terminal
        self._record = record
        self._steps: list[CommandResult] = []

    def run(self, block: str, expect: Iterable[int] = (0,)) -> None:
        """Run every command of a block; raise SystemExit on an unexpected exit status."""
        for command in commands(block):
            prompts = re.search(r"^terraform\b.* (apply|destroy)\b", command)
            step = self.terminal.run(command, "yes\n" if prompts else "")
            self._steps.append(step)
            recorded = {
                "steps": [each.to_json() for each in self._steps],
                "environment": self.terminal.environment,
            }
            self._record.write_text(json.dumps(recorded, indent=1))
            if step.status not in expect:
                msg = f"{command} exited with {step.status}:\n{step.output[-6000:]}"
                raise SystemExit(msg)


def network(endpoint: str) -> dict[str, Any]:
    """Return the default VPC and two subnets of moto's account."""
    import boto3

    ec2 = boto3.client("ec2", endpoint_url=endpoint, region_name=REGION)
    vpc = next(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"] if each["IsDefault"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    return {"vpc_id": vpc, "subnet_ids": sorted(each["SubnetId"] for each in subnets)[:2]}


def wait_for(endpoint: str, seconds: float = 300) -> None:
    """Wait until moto responds; configure it not to run functions, since tests call the handler."""
    import requests

    deadline = time.monotonic() + seconds
    while True:
        try:
            settings = {"lambda": {"use_docker": False}}
            requests.post(f"{endpoint}/moto-api/config", json=settings, timeout=60).raise_for_status()
        except requests.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def up(folder: Path, endpoint: str, environment: dict[str, str]) -> None:
    """Deploy from a fresh clone, up to `homeostat doctor`."""
    clone_folder = clone(folder / "clone_folder")
    move_to_aws(clone_folder, MODELS)
    commit(clone_folder)
    write_docker(folder / "bin" / "docker")
    wait_for(endpoint)
    runner = DocsRunner(Terminal(clone_folder, environment), folder / "up.json")

    copy, deploy, export = blocks(PAGE, "Deploying")
    (doctor,) = blocks(PAGE, "Checking the deployment")
    runner.run(copy)
    edit_variables(
        clone_folder,
        {
            "project": PROJECT,
            "region": REGION,
            **network(endpoint),
            "mlflow_tracking_uri": "http://127.0.0.1:5000",
            "artifact_lock_days": 30,
        },
    )
    runner.run(deploy)
    runner.run(export)
    runner.run(doctor, expect=(0, 1))  # 1: MLflow and the gateway are not running


def down(folder: Path, environment: dict[str, str]) -> None:
    """Run the teardown of docs/aws.md."""
    runner = DocsRunner(Terminal(folder / "clone_folder", environment), folder / "down.json")
    for block in blocks(PAGE, "Taking it down"):
        runner.run(block)


if __name__ == "__main__":
    direction, folder, endpoint, environment_file = sys.argv[1:]
    environment = json.loads(Path(environment_file).read_text())
    if direction == "up":
        up(Path(folder), endpoint, environment)
    else:
        down(Path(folder), environment)
