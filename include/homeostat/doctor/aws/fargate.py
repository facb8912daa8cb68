"""Training on Fargate: cluster and task definition there, and the image the one that runs here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import NotFound, Unavailable
from homeostat.doctor.aws.lambda_function import APPLY
from homeostat.doctor.check import Finding, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment

_PINNED = re.compile(r"@(sha256:[0-9a-f]{64})$")


def look_at_cluster(deployment: Deployment) -> Finding:
    """There, and active."""
    deployment.aws.needed()
    ecs = deployment.settings.ecs
    assert ecs is not None  # noqa: S101  # for the type checker: planned only with it
    with aws_clients.asking("ecs:DescribeClusters"):
        found = aws_clients.ecs().describe_clusters(clusters=[ecs.cluster])["clusters"]
    state = found[0].get("status", "") if found else "missing"
    if state != "ACTIVE":
        return broken(f"the cluster is {state.lower()}", f"{APPLY}, and take HOMEOSTAT_ECS from its outputs")
    return ok(f"active, {found[0].get('runningTasksCount', 0)} tasks running")


def look_at_task(deployment: Deployment) -> Finding:
    """Active, with the container that is asked for, pinned by digest, with our store."""
    deployment.aws.needed()
    ecs = deployment.settings.ecs
    assert ecs is not None  # noqa: S101  # for the type checker: planned only with it
    try:
        with aws_clients.asking("ecs:DescribeTaskDefinition"):
            found = aws_clients.ecs().describe_task_definition(taskDefinition=ecs.task_definition)[
                "taskDefinition"
            ]
    except (NotFound, Unavailable) as error:
        if isinstance(error, Unavailable) and "Unable to describe task definition" not in str(error):
            raise
        return broken("there is no such task definition", f"{APPLY}, and take HOMEOSTAT_ECS from its outputs")
    if found.get("status") != "ACTIVE":
        return broken(f"it is {str(found.get('status')).lower()}", f"{APPLY}: tasks of it cannot be started")
    containers: dict[str, Any] = {each["name"]: each for each in found.get("containerDefinitions", [])}
    if ecs.container not in containers:
        named = ", ".join(containers) or "none"
        return broken(
            f"it has no container {ecs.container!r}, but {named}", "take HOMEOSTAT_ECS from Terraform"
        )
    return _judge(deployment, containers[ecs.container], int(found.get("revision", 0)))


def _judge(deployment: Deployment, container: dict[str, Any], revision: int) -> Finding:
    env = {each["name"]: each["value"] for each in container.get("environment", [])}
    store = deployment.settings.store
    if env.get("HOMEOSTAT_STORE", "").rstrip("/") != store.rstrip("/"):
        return broken(
            f"HOMEOSTAT_STORE is {env.get('HOMEOSTAT_STORE') or 'not set'} there and {store} here", APPLY
        )
    pinned = _PINNED.search(container.get("image", ""))
    if pinned is None:
        return warning(
            f"its image is {container.get('image')!r}: a tag may move, and nobody can tell what ran",
            f"push with infra/aws/push_images.sh, then {APPLY}",
        )
    there, here = pinned[1], deployment.env.get("HOMEOSTAT_IMAGE_DIGEST", "")
    if here and here != there:
        strict = [m.name for m in deployment.trained_in_aws() if m.training.parity == "enforce"]
        also = (
            f"; {', '.join(strict)} has training.parity: enforce and stops before the fit" if strict else ""
        )
        return warning(
            f"revision {revision} has image {there[:19]}, this process runs in {here[:19]}{also}",
            "bring both to one image: push, apply, and start Airflow anew",
        )
    same = "the one that runs here" if here else "HOMEOSTAT_IMAGE_DIGEST does not say which one runs here"
    return ok(f"revision {revision}, image {there[:19]}: {same}")
