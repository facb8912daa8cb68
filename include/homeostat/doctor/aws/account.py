"""Who AWS takes us for; everything else in AWS is asked only when that is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError
from homeostat.doctor.aws import clients
from homeostat.doctor.check import Finding, broken, ok, warning

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Account:
    """The user or role that we are, with its account, and the region that is asked."""

    who: str
    region: str


def reach() -> Account:
    """Ask sts; ConfigError without valid credentials, Unavailable when nothing answers."""
    import boto3

    with clients.asking("sts:GetCallerIdentity"):
        found = clients.sts().get_caller_identity()
    return Account(found["Arn"], boto3.Session().region_name or "")


def look(deployment: Deployment) -> Finding:
    """There are credentials, and they are valid."""
    try:
        account = deployment.aws.get()
    except ConfigError as error:
        return broken(str(error), clients.NEW_ONES)
    if not account.region:
        return warning(
            f"{account.who}; no region is set, and {clients.DEFAULT_REGION} is asked",
            "set AWS_DEFAULT_REGION, as `terraform output -json airflow_environment` has it",
        )
    return ok(f"{account.who} in {account.region}")


def needed_by(deployment: Deployment) -> str:
    """What of this deployment is in AWS, or nothing. A store elsewhere that speaks S3 is not."""
    settings = deployment.settings
    parts = [
        *(["HOMEOSTAT_TRIGGERS"] if settings.triggers else []),
        *(["HOMEOSTAT_ECS"] if settings.ecs is not None else []),
        *([f"{deployment.detected()[0].name}: monitor.runs_on"] if deployment.detected() else []),
        *(
            [f"{deployment.trained_in_aws()[0].name}: training.runs_on"]
            if deployment.trained_in_aws()
            else []
        ),
        *(["HOMEOSTAT_STORE"] if settings.store.startswith("s3://") and not clients.elsewhere("s3") else []),
    ]
    return ", ".join(parts)
