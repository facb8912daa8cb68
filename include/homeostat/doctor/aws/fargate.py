"""Training on Fargate: the cluster, the task definition, and its image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound, Unavailable
from homeostat.doctor.aws.lambda_function import APPLY
from homeostat.doctor.check import Finding, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.config.fargate import Fargate
    from homeostat.doctor.deployment import Deployment

_OUTPUTS = f"run {APPLY}, and set HOMEOSTAT_ECS from `terraform output -json airflow_environment`"
_PINNED = re.compile(r"@(sha256:[0-9a-f]{64})$")


def check_cluster(deployment: Deployment, ecs: Fargate) -> Finding:
    """Check that the cluster exists and is active."""
    deployment.aws.get_or_skip()
    with aws_clients.translate_errors("ecs:DescribeClusters"):
        found = aws_clients.ecs().describe_clusters(clusters=[ecs.cluster])["clusters"]
    if not found:
        return broken(f"the cluster {ecs.cluster} does not exist", _OUTPUTS)
    state = found[0].get("status", "")
    if state != "ACTIVE":
        return broken(f"the cluster's status is {state}", _OUTPUTS)
    return ok(f"active, {found[0].get('runningTasksCount', 0)} tasks running")


def check_task_definition(deployment: Deployment, ecs: Fargate) -> Finding:
    """Check that the task definition is active and has the container, our store and a pinned image."""
    deployment.aws.get_or_skip()
    try:
        with aws_clients.translate_errors("ecs:DescribeTaskDefinition"):
            found = aws_clients.ecs().describe_task_definition(taskDefinition=ecs.task_definition)[
                "taskDefinition"
            ]
    except (NotFound, Unavailable) as error:
        if isinstance(error, Unavailable) and "Unable to describe task definition" not in str(error):
            raise
        return broken("the task definition does not exist", _OUTPUTS)
    if found.get("status") != "ACTIVE":
        return broken(f"the task definition's status is {found.get('status')}: it starts no tasks", _OUTPUTS)
    containers: dict[str, Any] = {each["name"]: each for each in found.get("containerDefinitions", [])}
    if ecs.container not in containers:
        names = ", ".join(containers) or "none"
        return broken(f"the task definition has no container {ecs.container!r}, only: {names}", _OUTPUTS)
    return _check_container(deployment, containers[ecs.container], int(found.get("revision", 0)))


def _check_container(deployment: Deployment, container: dict[str, Any], revision: int) -> Finding:
    env = {each["name"]: each["value"] for each in container.get("environment", [])}
    store = deployment.settings.store
    if env.get("HOMEOSTAT_STORE", "").rstrip("/") != store.rstrip("/"):
        return broken(
            f"HOMEOSTAT_STORE is {env.get('HOMEOSTAT_STORE') or 'not set'} in the task and {store} here",
            f"run {APPLY}, and set HOMEOSTAT_STORE here from `terraform output -json airflow_environment`",
        )
    pinned = _PINNED.search(container.get("image", ""))
    if pinned is None:
        return warning(
            f"the image {container.get('image')!r} is not pinned by digest: a tag can move to another image",
            f"push the image with infra/aws/push_images.sh, then run {APPLY}",
        )
    remote, local = pinned[1], deployment.env.get("HOMEOSTAT_IMAGE_DIGEST", "")
    if local and local != remote:
        enforced = [m.name for m in deployment.trained_on_fargate() if m.training.parity == "enforce"]
        also = (
            f"; retrains stop before the fit, because training.parity is enforce: {', '.join(enforced)}"
            if enforced
            else ""
        )
        return warning(
            f"revision {revision} has image {remote[:19]}, this process runs in image {local[:19]}{also}",
            f"use one image: push it with infra/aws/push_images.sh, run {APPLY}, and restart Airflow with it",
        )
    same = "same as here" if local else "not compared, because HOMEOSTAT_IMAGE_DIGEST is not set here"
    return ok(f"revision {revision}, image {remote[:19]} ({same})")
