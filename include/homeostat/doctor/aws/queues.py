"""The trigger queue, its dead-letter queue, and the queue of failed drift checks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from homeostat.config.errors import NotFound
from homeostat.doctor.check import Finding, Skipped, broken, ok, warning
from homeostat.doctor.connect import aws_clients

if TYPE_CHECKING:
    from homeostat.doctor.deployment import Deployment

_APPLY = "run `terraform apply` in infra/terraform"


def check_trigger_queue(deployment: Deployment) -> Finding:
    """Check that the queue exists, is FIFO, has a dead-letter queue, and that no trigger waits in it."""
    url = deployment.settings.triggers
    try:
        found = _attributes(deployment, url)
    except NotFound:
        return broken("the queue does not exist", f"{_APPLY}, or set HOMEOSTAT_TRIGGERS to an existing queue")
    if found.get("FifoQueue") != "true":
        return broken(
            "not a FIFO queue: one trigger could start two retrains",
            "create the queue with infra/terraform, and set HOMEOSTAT_TRIGGERS to it",
        )
    if "RedrivePolicy" not in found:
        return broken(
            "no redrive policy: a trigger that cannot be processed is received again without end",
            f"{_APPLY}, which sets one: the queue was changed manually",
        )
    waiting = int(found["ApproximateNumberOfMessages"])
    in_flight = int(found["ApproximateNumberOfMessagesNotVisible"])
    if waiting:
        return warning(
            f"{_count(waiting, 'trigger waits', 'triggers wait')} for Airflow, {in_flight} in flight",
            "run this again in a minute; if they still wait, check that Airflow's triggerer runs and the DAG "
            "consume_retrain_triggers is not paused. The queue deletes triggers after "
            f"{int(found['MessageRetentionPeriod']) // 3600} h",
        )
    state = f"{_count(in_flight, 'trigger', 'triggers')} in flight" if in_flight else "no triggers waiting"
    return ok(f"FIFO, with a dead-letter queue; {state}")


def check_dead_letters(deployment: Deployment) -> Finding:
    """Check that the dead-letter queue is empty."""
    try:
        policy = json.loads(_attributes(deployment, deployment.settings.triggers).get("RedrivePolicy", "{}"))
    except NotFound:
        msg = "the trigger queue does not exist"
        raise Skipped(msg) from None
    if not policy:
        msg = "the trigger queue has no redrive policy"
        raise Skipped(msg)
    return _check_empty(
        deployment,
        policy["deadLetterTargetArn"].rpartition(":")[2],
        ("trigger was", "triggers were"),
        f"not processed in {policy['maxReceiveCount']} tries",
        "Fix the cause, then return the messages with `aws sqs start-message-move-task`",
    )


def check_failed_checks(deployment: Deployment) -> Finding:
    """Check that no drift check has failed in all its retries."""
    return _check_empty(
        deployment,
        f"{deployment.settings.project}-detector-failures",
        ("check", "checks"),
        "failed in all retries, or did not reach the Lambda function",
        "Fix the cause, invoke the Lambda function for that window (the trigger form of the DAG "
        "drift_check__MODEL shows the command), then purge the queue",
    )


def _check_empty(
    deployment: Deployment, name: str, noun: tuple[str, str], failure: str, remedy: str
) -> Finding:
    deployment.aws.get_or_skip()
    try:
        with aws_clients.translate_errors("sqs:GetQueueUrl"):
            url = aws_clients.sqs(deployment.settings.triggers).get_queue_url(QueueName=name)["QueueUrl"]
        found = _attributes(deployment, url)
    except NotFound:
        return broken(f"the queue {name} does not exist", f"{_APPLY}, which creates it")
    count = int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])
    if not count:
        return ok(f"{name} is empty")
    return broken(
        f"{_count(count, *noun)} {failure}",
        f"read the error with `aws sqs receive-message --queue-url {url}`. {remedy}",
    )


def _attributes(deployment: Deployment, url: str) -> dict[str, str]:
    deployment.aws.get_or_skip()
    with aws_clients.translate_errors("sqs:GetQueueAttributes"):
        found = aws_clients.sqs(deployment.settings.triggers).get_queue_attributes(
            QueueUrl=url, AttributeNames=["All"]
        )
    return {str(name): value for name, value in found["Attributes"].items()}


def _count(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"
