"""The AWS credentials; all other AWS checks are skipped when they are invalid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.config.errors import ConfigError
from homeostat.doctor.check import Finding, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment


def check_credentials(deployment: Deployment) -> Finding:
    """Check that credentials exist, are valid, and that a region is set."""
    try:
        identity = deployment.aws.get()
    except ConfigError as error:
        return broken(str(error), aws_clients.CREDENTIALS_REMEDY)
    if not identity.region:
        return warning(
            f"{identity.arn}; no region is set, so {aws_clients.DEFAULT_REGION} is used",
            "set AWS_DEFAULT_REGION, see `terraform output -json airflow_environment`",
        )
    return ok(f"{identity.arn} in {identity.region}")


def settings_in_aws(deployment: Deployment) -> tuple[str, ...]:
    """Return the settings that need AWS; empty when none does. A store on another S3 server does not."""
    settings = deployment.settings
    names = []
    if settings.triggers:
        names.append("HOMEOSTAT_TRIGGERS")
    if settings.ecs is not None:
        names.append("HOMEOSTAT_ECS")
    if settings.store.startswith("s3://") and not aws_clients.custom_endpoint("s3"):
        names.append("HOMEOSTAT_STORE")
    names += [f"{model.name}: monitor.runs_on" for model in deployment.checked_by_lambda()]
    names += [f"{model.name}: training.runs_on" for model in deployment.trained_on_fargate()]
    return tuple(names)
