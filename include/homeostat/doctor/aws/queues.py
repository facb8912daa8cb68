"""The queue of triggers, its dead letters, and the checks that the detector gave up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from homeostat.config.errors import NotFound
from homeostat.doctor.check import Finding, Skipped, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment

_ALL = "sqs:GetQueueAttributes"


def look(deployment: Deployment) -> Finding:
    """There, FIFO, with a place for dead letters, and nothing waits in it."""
    url = deployment.settings.triggers
    try:
        found = _attributes(deployment, url)
    except NotFound:
        return broken(
            "there is no such queue", "`terraform apply`, or set HOMEOSTAT_TRIGGERS to the right one"
        )
    if found.get("FifoQueue") != "true":
        return broken("it is no FIFO queue: one trigger could count twice", "make it by infra/terraform")
    if "RedrivePolicy" not in found:
        return broken(
            "it has no redrive policy: a trigger that cannot be read is received for ever",
            "`terraform apply` sets one; somebody changed it by hand",
        )
    waiting, taken = (
        int(found["ApproximateNumberOfMessages"]),
        int(found["ApproximateNumberOfMessagesNotVisible"]),
    )
    if waiting:
        return warning(
            f"{_many(waiting, 'trigger waits', 'triggers wait')} for Airflow, {taken} taken, not yet deleted",
            "look again in a minute; if they still wait, check that the triggerer runs and consume_retrain_triggers is not "
            f"paused. After {int(found['MessageRetentionPeriod']) // 3600} h a trigger is gone",
        )
    told = f"{_many(taken, 'trigger is', 'triggers are')} being heard" if taken else "nothing waits"
    return ok(f"FIFO, with dead letters; {told}")


def look_at_dead_letters(deployment: Deployment) -> Finding:
    """Nothing was received so often that the queue gave it up."""
    try:
        policy = json.loads(_attributes(deployment, deployment.settings.triggers).get("RedrivePolicy", "{}"))
    except NotFound:
        msg = "there is no queue of triggers"
        raise Skipped(msg) from None
    if not policy:
        msg = "the queue has no redrive policy"
        raise Skipped(msg)
    return _empty(
        deployment,
        policy["deadLetterTargetArn"].rpartition(":")[2],
        ("trigger was", "triggers were"),
        f"given up after {policy['maxReceiveCount']} tries",
        "read it, cure the cause, then `aws sqs start-message-move-task`",
    )


def look_at_failures(deployment: Deployment) -> Finding:
    """No check failed for good."""
    return _empty(
        deployment,
        f"{deployment.settings.project}-detector-failures",
        ("check", "checks"),
        "failed for good, or never reached the detector",
        "the message says why; once cured, invoke the detector for that window (the form of "
        "drift_check__MODEL shows how), then purge the queue",
    )


def _empty(deployment: Deployment, name: str, noun: tuple[str, str], what: str, then: str) -> Finding:
    deployment.aws.needed()
    try:
        with aws_clients.asking("sqs:GetQueueUrl"):
            url = aws_clients.sqs(deployment.settings.triggers).get_queue_url(QueueName=name)["QueueUrl"]
        found = _attributes(deployment, url)
    except NotFound:
        return broken(f"there is no queue {name}", "`terraform apply` in infra/terraform makes it")
    count = int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])
    if not count:
        return ok(f"nothing lies in {name}")
    return broken(
        f"{_many(count, *noun)} {what}",
        f"`aws sqs receive-message --queue-url {url}` shows one. {then[0].upper()}{then[1:]}",
    )


def _attributes(deployment: Deployment, url: str) -> dict[str, str]:
    deployment.aws.needed()
    with aws_clients.asking(_ALL):
        found = aws_clients.sqs(deployment.settings.triggers).get_queue_attributes(
            QueueUrl=url, AttributeNames=["All"]
        )
    return {str(name): value for name, value in found["Attributes"].items()}


def _many(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
