"""The retrain trigger queue in SQS FIFO, which keeps the order and drops duplicates."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeostat.adapters.aws_errors import error_code, from_client_error, translate_aws_errors
from homeostat.ports import Delivery, TriggerMessage
from homeostat.storage.trigger_message import encode_trigger

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_MAX_BATCH = 10  # limit of SQS
_GONE = {"ReceiptHandleIsInvalid", "InvalidReceiptHandle", "MessageNotInflight", "InvalidParameterValue"}
_GONE |= {"AWS.SimpleQueueService.MessageNotInflight"}


class SqsTriggerQueue:
    """Messages on the FIFO queue at ``url``; retention and visibility time-out are settings of the queue.

    The message group is the model, so that its triggers are delivered in order. The deduplication id is the
    SHA-256 of the trigger id. ``AWS_ENDPOINT_URL`` selects another server than Amazon's.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client_: SQSClient | None = None

    def send(self, message: TriggerMessage) -> None:
        """See :meth:`homeostat.ports.TriggerQueue.send`."""
        with translate_aws_errors(self.url):
            self._client.send_message(
                QueueUrl=self.url,
                MessageBody=encode_trigger(message),
                MessageGroupId=message.model,
                MessageDeduplicationId=hashlib.sha256(message.trigger_id.encode()).hexdigest(),
            )

    def receive(self, limit: int = 10) -> list[Delivery]:
        """See :meth:`homeostat.ports.TriggerQueue.receive`."""
        found: list[Delivery] = []
        while len(found) < limit:
            with translate_aws_errors(self.url):
                response = self._client.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=min(_MAX_BATCH, limit - len(found)),
                    # 0 polls a subset of the servers and may miss messages.
                    WaitTimeSeconds=0 if found else 1,
                    MessageSystemAttributeNames=["ApproximateReceiveCount"],
                )
            batch = [
                Delivery(
                    body=raw["Body"],
                    receipt=raw["ReceiptHandle"],
                    attempt=int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                )
                for raw in response.get("Messages", [])
            ]
            if not batch:
                break
            found += batch
        return found

    def delete(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.TriggerQueue.delete`."""
        from botocore.exceptions import ClientError

        with translate_aws_errors(self.url):
            try:
                self._client.delete_message(QueueUrl=self.url, ReceiptHandle=receipt)
            except ClientError as error:
                self._raise_unless_gone(error)

    def release(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.TriggerQueue.release`."""
        from botocore.exceptions import ClientError

        with translate_aws_errors(self.url):
            try:
                self._client.change_message_visibility(
                    QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0
                )
            except ClientError as error:
                self._raise_unless_gone(error)

    def _raise_unless_gone(self, error: Exception) -> None:
        """Ignore an expired receipt or one of a deleted message; raise any other error."""
        if error_code(error) not in _GONE:
            raise from_client_error(self.url, error) from error

    @property
    def _client(self) -> SQSClient:
        if self._client_ is None:
            self._client_ = _connect(self.url)
        return self._client_


def region_of(url: str) -> str | None:
    """Return the region of a queue URL such as ``https://sqs.eu-central-1.amazonaws.com/...``, or None."""
    parts = (urlsplit(url).hostname or "").split(".")
    return parts[1] if len(parts) > 3 and parts[0] == "sqs" else None


def _connect(url: str) -> SQSClient:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
    session = boto3.Session()
    region = region_of(url) or session.region_name or "us-east-1"
    return session.client("sqs", config=config, region_name=region)
