"""Contract of every TriggerQueue: the in-memory fake and SQS (moto)."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from homeostat.adapters import MemoryTriggerQueue, open_trigger_queue
from homeostat.adapters.clock import FakeClock
from homeostat.adapters.trigger_queue_sqs import region_of
from homeostat.config.errors import ConfigError, Unavailable
from homeostat.ports import TriggerMessage
from homeostat.storage.trigger_message import decode_trigger

if TYPE_CHECKING:
    from homeostat.ports import TriggerQueue

MAX_DELIVERIES = 3


def message(number: int = 1, model: str = "pump") -> TriggerMessage:
    end = f"2026-03-02T{number:02d}:00:00+00:00"
    return TriggerMessage(model, f"{model}/{end}", end, "sustained_drift")


def make_queue(visibility: int = 3600) -> tuple[str, str]:
    """Create a FIFO queue and its dead letter queue as Terraform does; return both URLs."""
    import boto3

    sqs = boto3.client("sqs")
    name = f"t-{uuid.uuid4().hex[:8]}"
    dead = sqs.create_queue(QueueName=f"{name}-dead.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    queue = sqs.create_queue(
        QueueName=f"{name}.fifo",
        Attributes={
            "FifoQueue": "true",
            "VisibilityTimeout": str(visibility),
            "RedrivePolicy": json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_DELIVERIES}),
        },
    )
    return queue["QueueUrl"], dead


@pytest.fixture(params=["memory", "sqs"])
def triggers(request: pytest.FixtureRequest) -> TriggerQueue:
    if request.param == "memory":
        return MemoryTriggerQueue(max_deliveries=MAX_DELIVERIES)
    request.getfixturevalue("s3_server")
    return open_trigger_queue(make_queue()[0])


@pytest.mark.quick
def test_a_message_is_received_as_sent(triggers):
    sent = replace(message(), reason="former_version_fits", reinstate="3")
    triggers.send(sent)
    (found,) = triggers.receive()
    assert decode_trigger(found.body, ["pump"]) == sent
    assert found.attempt == 1


def test_an_empty_queue_returns_nothing(triggers):
    assert triggers.receive() == []


def test_a_repeated_trigger_is_deduplicated(triggers):
    for _ in range(3):
        triggers.send(message())
    triggers.send(replace(message(), reason="another reason"))
    assert len(triggers.receive()) == 1


def test_triggers_of_a_model_keep_their_order(triggers):
    for number in (3, 1, 2):
        triggers.send(message(number))
    found = [json.loads(delivery.body)["window_end"][11:13] for delivery in triggers.receive()]
    assert found == ["03", "01", "02"]


def test_a_message_in_flight_blocks_its_model_only(triggers):
    triggers.send(message(1))
    (first,) = triggers.receive()
    triggers.send(message(2))
    triggers.send(message(1, "valve"))
    assert [json.loads(each.body)["model"] for each in triggers.receive()] == ["valve"]
    triggers.delete(first.receipt)
    assert [json.loads(each.body)["window_end"][11:13] for each in triggers.receive()] == ["02"]


def test_receive_respects_the_limit(triggers):
    for model in "abcd":
        triggers.send(message(1, model))
    assert len(triggers.receive(3)) == 3
    assert len(triggers.receive(3)) == 1


def test_the_limit_may_exceed_the_batch_size_of_sqs(triggers):
    for number in range(12):
        triggers.send(message(1, f"m{number}"))
    assert len(triggers.receive(12)) == 12


def test_a_deleted_message_is_not_delivered_again(triggers):
    triggers.send(message())
    (found,) = triggers.receive()
    triggers.delete(found.receipt)
    triggers.delete(found.receipt)
    triggers.release(found.receipt)
    assert triggers.receive() == []


def test_a_released_message_is_delivered_again_and_counted(triggers):
    triggers.send(message())
    attempts = []
    for _ in range(2):
        (found,) = triggers.receive()
        attempts.append(found.attempt)
        triggers.release(found.receipt)
    assert attempts == [1, 2]


def test_too_many_deliveries_make_a_dead_letter(triggers):
    triggers.send(message())
    for _ in range(MAX_DELIVERIES):
        (found,) = triggers.receive()
        triggers.release(found.receipt)
    assert triggers.receive() == []


def test_a_dead_letter_is_in_the_dead_letter_queue(s3_server):
    url, dead = make_queue()
    queue = open_trigger_queue(url)
    queue.send(message())
    for _ in range(MAX_DELIVERIES):
        queue.release(queue.receive()[0].receipt)
    assert queue.receive() == []
    assert [decode_trigger(each.body, ["pump"]) for each in open_trigger_queue(dead).receive()] == [message()]


def test_an_undeleted_message_becomes_visible_again(s3_server):
    queue = open_trigger_queue(make_queue(visibility=1)[0])
    queue.send(message())
    assert len(queue.receive()) == 1
    deadline = time.monotonic() + 60
    while not (found := queue.receive()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found[0].attempt == 2


def test_the_fake_forgets_who_took_a_message_and_what_was_sent_as_sqs_does():
    clock = FakeClock(datetime(2026, 3, 2, tzinfo=UTC))
    queue = MemoryTriggerQueue(clock, visibility=timedelta(minutes=10))
    queue.send(message())
    (first,) = queue.receive()
    clock.advance(timedelta(minutes=9))
    assert queue.receive() == []
    clock.advance(timedelta(minutes=1))
    (again,) = queue.receive()
    assert (again.attempt, again.body) == (2, first.body)
    queue.delete(first.receipt)  # the older receipt is as good
    queue.send(message())
    assert len(queue.receive()) == 1, "five minutes later the same id is another message"
    queue.send(message())
    assert queue.receive() == []


def test_the_fake_can_simulate_an_outage():
    queue = MemoryTriggerQueue()
    queue.down = True
    with pytest.raises(Unavailable):
        queue.receive()


def test_a_missing_queue_is_named_with_the_setting(s3_server):
    url = f"{s3_server.endpoint}/123456789012/no-such-queue.fifo"
    for call in (
        lambda queue: queue.send(message()),
        lambda queue: queue.receive(),
        lambda queue: queue.delete("receipt"),
        lambda queue: queue.release("receipt"),
    ):
        with pytest.raises(ConfigError, match=r"no-such-queue.*HOMEOSTAT_TRIGGERS"):
            call(open_trigger_queue(url))


def test_an_unreachable_queue_is_unavailable(monkeypatch, free_port):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(Unavailable, match="does not answer"):
        open_trigger_queue("https://sqs.eu-central-1.amazonaws.com/1/q.fifo").send(message())


@pytest.mark.parametrize("url", ["", "queue", "sqs://queue", "https://", "https://sqs.amazonaws.com/"])
def test_an_invalid_url_is_refused_with_an_example(url):
    with pytest.raises(ConfigError, match=r"https://sqs\.eu-central-1\.amazonaws\.com/"):
        open_trigger_queue(url)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.eu-central-1.amazonaws.com/1/q.fifo", "eu-central-1"),
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q.fifo", "cn-north-1"),
        ("http://127.0.0.1:5000/1/q.fifo", None),
        ("http://localhost:4566/1/q.fifo", None),
    ],
)
def test_the_region_is_read_from_the_url(url, region):
    assert region_of(url) == region
