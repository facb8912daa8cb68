"""Who AWS takes us for; everything else in AWS is asked only when that is answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError
from homeostat.doctor.check import Finding, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment


def look(deployment: Deployment) -> Finding:
    """There are credentials, and they are valid."""
    try:
        account = deployment.aws.get()
    except ConfigError as error:
        return broken(str(error), aws_clients.NEW_ONES)
    if not account.region:
        return warning(
            f"{account.who}; no region is set, and {aws_clients.DEFAULT_REGION} is asked",
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
        *(
            ["HOMEOSTAT_STORE"]
            if settings.store.startswith("s3://") and not aws_clients.elsewhere("s3")
            else []
        ),
    ]
    return ", ".join(parts)
