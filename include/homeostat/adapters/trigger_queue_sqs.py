"""The queue of retrain triggers in SQS: FIFO, so that they keep their order, and twice counts once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from homeostat.adapters.aws_errors import asking, code_of, of_answer
from homeostat.ports import Delivery, TriggerMessage
from homeostat.storage.trigger_message import body_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

_MOST = 10  # SQS gives no more at a time
_GONE = {"ReceiptHandleIsInvalid", "InvalidReceiptHandle", "MessageNotInflight", "InvalidParameterValue"}
_GONE |= {"AWS.SimpleQueueService.MessageNotInflight"}


class SqsTriggers:
    """Triggers on the FIFO queue at ``url``, for as long as its own settings say.

    The group is the model, so that its triggers come one after the other, and the deduplication id is
    a digest of the trigger's own id. ``AWS_ENDPOINT_URL`` names another server than Amazon's.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._client_: SQSClient | None = None

    def send(self, message: TriggerMessage) -> None:
        """See :meth:`homeostat.ports.Triggers.send`."""
        with asking(self.url):
            self._client.send_message(
                QueueUrl=self.url,
                MessageBody=body_of(message),
                MessageGroupId=message.model,
                MessageDeduplicationId=hashlib.sha256(message.trigger_id.encode()).hexdigest(),
            )

    def receive(self, limit: int = 10) -> list[Delivery]:
        """See :meth:`homeostat.ports.Triggers.receive`."""
        found: list[Delivery] = []
        while len(found) < limit:
            with asking(self.url):
                answer = self._client.receive_message(
                    QueueUrl=self.url,
                    MaxNumberOfMessages=min(_MOST, limit - len(found)),
                    # Not 0, which asks some of its servers only, and finds nothing where there is something.
                    WaitTimeSeconds=0 if found else 1,
                    MessageSystemAttributeNames=["ApproximateReceiveCount"],
                )
            batch = [
                Delivery(
                    body=raw["Body"],
                    receipt=raw["ReceiptHandle"],
                    attempt=int(raw.get("Attributes", {}).get("ApproximateReceiveCount", 1)),
                )
                for raw in answer.get("Messages", [])
            ]
            if not batch:
                break
            found += batch
        return found

    def delete(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.Triggers.delete`."""
        from botocore.exceptions import ClientError

        with asking(self.url):
            try:
                self._client.delete_message(QueueUrl=self.url, ReceiptHandle=receipt)
            except ClientError as error:
                self._unless_gone(error)

    def give_back(self, receipt: str) -> None:
        """See :meth:`homeostat.ports.Triggers.give_back`."""
        from botocore.exceptions import ClientError

        with asking(self.url):
            try:
                self._client.change_message_visibility(
                    QueueUrl=self.url, ReceiptHandle=receipt, VisibilityTimeout=0
                )
            except ClientError as error:
                self._unless_gone(error)

    def _unless_gone(self, error: Exception) -> None:
        """A receipt that ran out, or whose message is deleted, has nothing to be done with any more."""
        if code_of(error) not in _GONE:
            raise of_answer(self.url, error) from error

    @property
    def _client(self) -> SQSClient:
        if self._client_ is None:
            self._client_ = _connect(self.url)
        return self._client_


def region_of(url: str) -> str | None:
    """The region in a queue's URL, ``https://sqs.eu-central-1.amazonaws.com/...``; None in any other URL."""
    parts = (urlsplit(url).hostname or "").split(".")
    return parts[1] if len(parts) > 3 and parts[0] == "sqs" else None


def _connect(url: str) -> SQSClient:
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 4})
    session = boto3.Session()
    region = region_of(url) or session.region_name or "us-east-1"
    return session.client("sqs", config=config, region_name=region)
