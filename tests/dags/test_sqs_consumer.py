"""Each message on the queue of retrain triggers starts one run of retrain__<model>; none is lost."""

import json
from datetime import timedelta

import boto3
import pytest
from moto.server import ThreadedMotoServer

from dags.operator_harness import holds_within
from homeostat.storage.retrain_request import run_key
from sample_model import T0

TRIGGER = {"reason": "sustained_drift", "reinstate": ""}


class Queue:
    """A FIFO queue with a dead-letter queue, as Terraform creates them."""

    def __init__(self, name):
        self.sqs = boto3.client("sqs")
        fifo = {"FifoQueue": "true"}
        self.dead = self.sqs.create_queue(QueueName=f"{name}-dead.fifo", Attributes=fifo)["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.dead, AttributeNames=["QueueArn"])["Attributes"]
        redrive = json.dumps({"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 3})
        how = {**fifo, "VisibilityTimeout": "3600", "RedrivePolicy": redrive}
        self.url = self.sqs.create_queue(QueueName=f"{name}.fifo", Attributes=how)["QueueUrl"]

    def put(self, body, group, once):
        self.sqs.send_message(
            QueueUrl=self.url, MessageBody=body, MessageGroupId=group, MessageDeduplicationId=once
        )

    def counts(self, url=None):
        """Return the numbers of visible messages and of messages in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)

    def make_visible(self):
        """Let the visibility timeout of all messages expire."""
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": "0"})


@pytest.fixture
def queue(s3_server, request, setup):
    return Queue(setup.name)


@pytest.fixture
def consumer(setup, queue, s3_server):
    """Airflow with the queue as HOMEOSTAT_TRIGGERS."""
    return QueueConsumer(setup, queue, s3_server)


class QueueConsumer:
    def __init__(self, setup, queue, s3_server):
        self.setup, self.queue = setup, queue
        self.env = {
            **setup.env,
            "HOMEOSTAT_TRIGGERS": queue.url,
            "AWS_ENDPOINT_URL": s3_server.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def message(self, hour=0, **fields):
        """Return the body of a trigger message for the sample model."""
        end = (T0 + timedelta(hours=hour)).isoformat()
        body = {
            "model": self.setup.name,
            "trigger_id": f"{self.setup.name}/{end}",
            "window_end": end,
            **TRIGGER,
        }
        return json.dumps({**body, **fields})

    def send(self, body, once="1", group="g"):
        self.queue.put(body, group, once)

    def receive(self, **env):
        """Return the next payload of the queue's trigger."""
        return self.setup.airflow.call("receive", {**self.env, **env}, pause=0.2)

    def consume(self, *payloads, **how):
        """Run consume_retrain_triggers for these events; by default for the next payload of the trigger."""
        return self.setup.airflow.call(
            "run", self.env, dag="consume_retrain_triggers", payloads=payloads or (self.receive(),), **how
        )

    @property
    def runs(self):
        return self.setup.airflow.call("runs", self.env, dag=f"retrain__{self.setup.name}")


def test_a_message_starts_the_requested_retrain_and_leaves_the_queue(consumer):
    consumer.send(consumer.message(reason="reinstate", reinstate="7"))
    dag_run = consumer.consume()
    assert dag_run["state"] == "success", dag_run
    assert dag_run["tasks"] == {
        "receive": "success",
        "message.start[0]": "success",
        "message.ack[0]": "success",
    }
    (run,) = consumer.runs
    assert run["run_id"].startswith("trigger__")
    assert run["state"] == "queued"
    assert consumer.queue.counts() == (0, 0)


def test_the_request_equals_the_one_of_a_drift_event(consumer):
    consumer.send(consumer.message())
    consumer.consume()
    (run,) = consumer.runs
    retrained = consumer.setup.retrain(
        mark_success="train|validate|gate|register|shadow|canary|promote", **run["conf"]
    )
    key = f"retrain/{consumer.setup.name}/{run_key(consumer.setup.name, retrained['run_id'])}/request.json"
    request = json.loads(consumer.setup.ports.store.get(key))
    end = T0.isoformat()
    assert request["trigger_id"] == f"{consumer.setup.name}/{end}"
    assert (request["until"], request["reason"], request["reinstate"]) == (end, "sustained_drift", "")
    other = consumer.setup.retrain(**run["conf"])
    assert other["tasks"]["assemble"] == "skipped"
    assert "was already handled by" in other["skipped"]["assemble"], "the run id does not matter"


def test_a_trigger_delivered_twice_starts_one_run_and_skips_the_second(consumer):
    consumer.send(consumer.message(), once="1")
    consumer.send(consumer.message(), once="2", group="h")
    consumer.consume(consumer.receive())
    consumer.send(consumer.message(), once="3")
    again = consumer.consume()
    assert again["state"] == "success", again
    assert again["tasks"]["message.start[0]"] == "skipped"
    assert again["skipped"]["message.start[0]"].startswith("the run already exists")
    (run,) = consumer.runs
    assert again["links"]["message.start[0]"].endswith(
        f"/dags/retrain__{consumer.setup.name}/runs/{run['run_id']}"
    )
    assert len(consumer.runs) == 1
    assert consumer.queue.counts() == (0, 0), "the second delivery is deleted as well"


def test_an_unreadable_message_fails_notifies_once_and_becomes_a_dead_letter(consumer, receiver):
    consumer.send("{not json", once="1", group="x")
    consumer.send(consumer.message(), once="2", group="y")
    first = consumer.consume()
    assert first["state"] == "failed"
    states = sorted(first["tasks"].items())
    assert [state for name, state in states if "start" in name].count("failed") == 1
    assert [state for name, state in states if "ack" in name].count("success") == 1
    assert {name: label for name, label in first["map_labels"].items() if "start" in name} == {
        "message.start[0]": "unreadable",
        "message.start[1]": consumer.setup.name,
    }
    assert len([link for link in first["links"].values() if link]) == 1, "no link without a run"
    (note,) = [note for note in first["callbacks"] if note["kind"] == "failure" and "start" in note["task"]]
    assert note["error"] == "AirflowFailException"
    assert consumer.queue.counts() == (1, 0), "returned to the queue at once"
    assert len(consumer.runs) == 1
    for _ in range(2):
        assert consumer.consume()["state"] == "failed"
    assert len([notice for notice in receiver.received if "cannot be read" in notice["title"]]) == 1
    consumer.queue.sqs.receive_message(QueueUrl=consumer.queue.url)
    assert consumer.queue.counts(consumer.queue.dead) == (1, 0)


def test_a_message_stays_on_the_queue_when_its_run_cannot_start(consumer):
    path = consumer.setup.folder / "models" / consumer.setup.name / "model.yaml"
    text = path.read_text()
    consumer.send(consumer.message())
    path.write_text(text + "monitr: {}\n")
    failed = consumer.consume()
    assert failed["tasks"]["message.start[0]"] == "failed"
    assert failed["tasks"]["message.ack[0]"] == "upstream_failed"
    assert "did you mean 'monitor'" in failed["callbacks"][0]["text"]
    assert consumer.queue.counts() == (0, 1), "redelivered after the visibility timeout"
    assert consumer.runs == []


def test_the_longest_trigger_fits_into_airflows_database(consumer):
    cause = f"{consumer.setup.name}/{'é/' * 200}"
    consumer.send(consumer.message(trigger_id=cause.ljust(512, "x"), reason="because " * 64))
    assert consumer.consume()["state"] == "success"
    (run,) = consumer.runs
    assert len(run["note"]) == 1000
    assert len(run["run_id"]) <= 250
    assert run["run_id"].isascii()


def test_events_that_arrive_together_share_a_run_and_each_message_counts_once(consumer):
    for hour in range(2):
        consumer.send(consumer.message(hour), once=str(hour))
    first = consumer.receive()
    consumer.send(consumer.message(2), once="2", group="h")
    second = consumer.receive()
    manual = None  # an event created on the asset's page
    dag_run = consumer.consume(first, manual, second, first)
    assert dag_run["state"] == "success", dag_run
    assert [dag_run["tasks"][f"message.start[{i}]"] for i in range(3)] == ["success"] * 3
    assert "message.start[3]" not in dag_run["tasks"]
    assert len({run["run_id"] for run in consumer.runs}) == 3
    assert consumer.queue.counts() == (0, 0)


def test_a_manual_run_is_skipped_with_the_reason(consumer):
    dag_run = consumer.setup.airflow.call("run", consumer.env, dag="consume_retrain_triggers")
    assert dag_run["tasks"]["receive"] == "skipped"
    assert "a manual run has nothing to do" in dag_run["skipped"]["receive"]


def test_the_trigger_waits_while_sqs_is_unavailable_and_then_receives(consumer, free_port):
    port = free_port()
    waiting = consumer.setup.in_background(consumer.receive, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert holds_within(
        40, lambda: f"cannot receive from {consumer.queue.url}, retrying" in consumer.setup.airflow.log
    )
    assert not waiting.done()
    consumer.send(consumer.message())
    back = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)  # serves the same queues
    back.start()
    try:
        (message,) = waiting.result(50)["messages"]
    finally:
        back.stop()
    assert message["body"] == consumer.message()
    assert message["attempt"] == 1
