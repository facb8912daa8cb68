"""A person at a terminal, who follows README.md's "On AWS" word for word, or "Taking it down" of docs/aws.md.

Run as a program, beside other tests: for most of the time that it takes Terraform waits for queues to settle,
as it must on Amazon's. It stops at the first command that fails.

    follow_pages.py up FOLDER ENDPOINT ENVIRONMENT      needs FOLDER to be empty
    follow_pages.py down FOLDER ENDPOINT ENVIRONMENT

``ENVIRONMENT`` is a file of JSON. What was typed, and what came of it, is in FOLDER/up.json or down.json.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aws.clone import ROOT, clone, commit, fill_in, move_to_aws, write_docker
from aws.terminal import Step, Terminal, blocks, commands

PROJECT, REGION = "homeostat-test", "eu-central-1"
#: The models of terraform.tfvars.example, and how often each is checked there.
MODELS = {"bike_demand": "1h", "pump_fault": "15m"}
README, PAGE = ROOT / "README.md", ROOT / "docs" / "aws.md"


class Person:
    """Types commands, says yes when Terraform asks, and notes what happens."""

    def __init__(self, terminal: Terminal, notes: Path) -> None:
        self.terminal = terminal
        self._notes = notes
        self._steps: list[Step] = []

    def follow(self, block: str, expect: Iterable[int] = (0,)) -> None:
        """Type every command of a block; SystemExit when one ends otherwise than expected."""
        for command in commands(block):
            asks = re.search(r"^terraform\b.* (apply|destroy)\b", command)
            step = self.terminal.type(command, "yes\n" if asks else "")
            self._steps.append(step)
            noted = {
                "steps": [each.to_json() for each in self._steps],
                "environment": self.terminal.environment,
            }
            self._notes.write_text(json.dumps(noted, indent=1))
            if step.status not in expect:
                msg = f"{command} ended with {step.status}:\n{step.said[-6000:]}"
                raise SystemExit(msg)


def network(endpoint: str) -> dict[str, Any]:
    """The network that moto's account comes with."""
    import boto3

    ec2 = boto3.client("ec2", endpoint_url=endpoint, region_name=REGION)
    vpc = next(each["VpcId"] for each in ec2.describe_vpcs()["Vpcs"] if each["IsDefault"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["Subnets"]
    return {"vpc_id": vpc, "subnet_ids": sorted(each["SubnetId"] for each in subnets)[:2]}


def wait_for(endpoint: str, seconds: float = 300) -> None:
    """Until AWS is there; a function is only described in it, the tests call its handler themselves."""
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
    """From a fresh clone to what `homeostat doctor` says."""
    checkout = clone(folder / "checkout")
    move_to_aws(checkout, MODELS)
    commit(checkout)
    write_docker(folder / "bin" / "docker")
    wait_for(endpoint)
    person = Person(Terminal(checkout, environment), folder / "up.json")

    copy, deploy, ask = blocks(README, "On AWS")
    person.follow(copy)
    fill_in(
        checkout,
        {
            "project": PROJECT,
            "region": REGION,
            **network(endpoint),
            "mlflow_tracking_uri": "http://127.0.0.1:5000",
            "artifact_lock_days": 30,
        },
    )
    person.follow(deploy)
    (give,) = (block for block in blocks(PAGE, "Deploying") if block.startswith("eval "))
    person.follow(give)
    person.follow(ask, expect=(0, 1))  # 1: something is broken, and here MLflow and the gateway are not there


def down(folder: Path, environment: dict[str, str]) -> None:
    """What docs/aws.md says about taking it down."""
    person = Person(Terminal(folder / "checkout", environment), folder / "down.json")
    for block in blocks(PAGE, "Taking it down"):
        person.follow(block)


if __name__ == "__main__":
    way, where, address, told = sys.argv[1:]
    held = json.loads(Path(told).read_text())
    if way == "up":
        up(Path(where), address, held)
    else:
        down(Path(where), held)
