"""Messages on the queue of retrain triggers become runs of retrain__<model>: each once, and none is lost."""

import json
from datetime import timedelta

import boto3
import pytest
from moto.server import ThreadedMotoServer

from dags.operator_harness import within
from homeostat.storage.retrain_request import run_key
from sample_model import T0

TRIGGER = {"reason": "sustained_drift", "reinstate": ""}


class Queue:
    """A FIFO queue with a dead-letter queue, as Terraform makes them."""

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
        """How many messages wait, and how many are with somebody."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)

    def make_visible(self):
        """Let the visibility timeout of everything be over, as an hour later."""
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"VisibilityTimeout": "0"})


@pytest.fixture
def queue(s3_server, request, world):
    return Queue(world.name)


@pytest.fixture
def hearing(world, queue, s3_server):
    """The world's Airflow, with the queue as its HOMEOSTAT_TRIGGERS."""
    return Hearing(world, queue, s3_server)


class Hearing:
    def __init__(self, world, queue, s3_server):
        self.world, self.queue = world, queue
        self.env = {
            **world.env,
            "HOMEOSTAT_TRIGGERS": queue.url,
            "AWS_ENDPOINT_URL": s3_server.endpoint,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def trigger(self, hour=0, **fields):
        """The text of a trigger of the toy model."""
        end = (T0 + timedelta(hours=hour)).isoformat()
        whole = {
            "model": self.world.name,
            "trigger_id": f"{self.world.name}/{end}",
            "window_end": end,
            **TRIGGER,
        }
        return json.dumps({**whole, **fields})

    def send(self, body, once="1", group="g"):
        self.queue.put(body, group, once)

    def receive(self, **env):
        """What the trigger fires with."""
        return self.world.airflow.ask("receive", {**self.env, **env}, pause=0.2)

    def hear(self, *payloads, **how):
        """Run consume_retrain_triggers for these events (default: for what the trigger receives now)."""
        return self.world.airflow.ask(
            "run", self.env, dag="consume_retrain_triggers", payloads=payloads or (self.receive(),), **how
        )

    @property
    def runs(self):
        return self.world.airflow.ask("runs", self.env, dag=f"retrain__{self.world.name}")


def test_a_trigger_starts_the_retrain_that_it_asks_for_and_leaves_the_queue(hearing):
    hearing.send(hearing.trigger(reason="reinstate", reinstate="7"))
    done = hearing.hear()
    assert done["state"] == "success", done
    assert done["tasks"] == {"receive": "success", "message.start[0]": "success", "message.ack[0]": "success"}
    (run,) = hearing.runs
    assert run["run_id"].startswith("trigger__")
    assert run["state"] == "queued"
    assert hearing.queue.counts() == (0, 0)


def test_the_request_is_the_one_that_the_drift_event_would_have_made(hearing):
    hearing.send(hearing.trigger())
    hearing.hear()
    (run,) = hearing.runs
    retrained = hearing.world.retrain(
        mark_success="train|validate|gate|register|shadow|canary|promote", **run["conf"]
    )
    key = f"retrain/{hearing.world.name}/{run_key(hearing.world.name, retrained['run_id'])}/request.json"
    request = json.loads(hearing.world.ports.store.get(key))
    end = T0.isoformat()
    assert request["trigger_id"] == f"{hearing.world.name}/{end}"
    assert (request["until"], request["reason"], request["reinstate"]) == (end, "sustained_drift", "")
    other = hearing.world.retrain(**run["conf"])
    assert other["tasks"]["assemble"] == "skipped"
    assert "was already handled by" in other["skipped"]["assemble"], "whatever the run's id"


def test_a_trigger_that_comes_twice_makes_one_run_and_says_so(hearing):
    hearing.send(hearing.trigger(), once="1")
    hearing.send(hearing.trigger(), once="2", group="h")
    hearing.hear(hearing.receive())
    hearing.send(hearing.trigger(), once="3")
    again = hearing.hear()
    assert again["state"] == "success", again
    assert again["tasks"]["message.start[0]"] == "skipped"
    assert again["skipped"]["message.start[0]"].startswith("the run already exists")
    (run,) = hearing.runs
    assert again["links"]["message.start[0]"].endswith(
        f"/dags/retrain__{hearing.world.name}/runs/{run['run_id']}"
    )
    assert len(hearing.runs) == 1
    assert hearing.queue.counts() == (0, 0), "a second delivery is done with as well"


def test_garbage_turns_red_says_why_once_and_becomes_a_dead_letter_while_others_go_on(hearing, receiver):
    hearing.send("{not json", once="1", group="x")
    hearing.send(hearing.trigger(), once="2", group="y")
    first = hearing.hear()
    assert first["state"] == "failed"
    states = sorted(first["tasks"].items())
    assert [state for name, state in states if "start" in name].count("failed") == 1
    assert [state for name, state in states if "ack" in name].count("success") == 1
    assert {name: called for name, called in first["called"].items() if "start" in name} == {
        "message.start[0]": "unreadable",
        "message.start[1]": hearing.world.name,
    }
    assert len([link for link in first["links"].values() if link]) == 1, "none to a run that is not there"
    (told,) = [told for told in first["told"] if told["kind"] == "failure" and "start" in told["task"]]
    assert told["error"] == "AirflowFailException"
    assert hearing.queue.counts() == (1, 0), "given back at once"
    assert len(hearing.runs) == 1
    for _ in range(2):
        assert hearing.hear()["state"] == "failed"
    assert len([notice for notice in receiver.got if "cannot be read" in notice["title"]]) == 1
    hearing.queue.sqs.receive_message(QueueUrl=hearing.queue.url)
    assert hearing.queue.counts(hearing.queue.dead) == (1, 0)


def test_a_run_that_cannot_be_started_leaves_its_message_on_the_queue(hearing):
    path = hearing.world.folder / "models" / hearing.world.name / "model.yaml"
    whole = path.read_text()
    hearing.send(hearing.trigger())
    path.write_text(whole + "monitr: {}\n")
    failed = hearing.hear()
    assert failed["tasks"]["message.start[0]"] == "failed"
    assert failed["tasks"]["message.ack[0]"] == "upstream_failed"
    assert "did you mean 'monitor'" in failed["told"][0]["text"]
    assert hearing.queue.counts() == (0, 1), "it comes again when the visibility timeout is over"
    assert hearing.runs == []


def test_the_longest_trigger_fits_into_the_columns_of_airflows_database(hearing):
    cause = f"{hearing.world.name}/{'é/' * 200}"
    hearing.send(hearing.trigger(trigger_id=cause.ljust(512, "x"), reason="because " * 64))
    assert hearing.hear()["state"] == "success"
    (run,) = hearing.runs
    assert len(run["note"]) == 1000
    assert len(run["run_id"]) <= 250
    assert run["run_id"].isascii()


def test_events_that_came_together_share_a_run_and_each_message_counts_once(hearing):
    for hour in range(2):
        hearing.send(hearing.trigger(hour), once=str(hour))
    first = hearing.receive()
    hearing.send(hearing.trigger(2), once="2", group="h")
    second = hearing.receive()
    by_hand = None  # an event that a person made on the asset's page
    done = hearing.hear(first, by_hand, second, first)
    assert done["state"] == "success", done
    assert [done["tasks"][f"message.start[{i}]"] for i in range(3)] == ["success"] * 3
    assert "message.start[3]" not in done["tasks"]
    assert len({run["run_id"] for run in hearing.runs}) == 3
    assert hearing.queue.counts() == (0, 0)


def test_started_by_hand_it_says_that_there_is_nothing_to_do(hearing):
    done = hearing.world.airflow.ask("run", hearing.env, dag="consume_retrain_triggers")
    assert done["tasks"]["receive"] == "skipped"
    assert "a manual run has nothing to do" in done["skipped"]["receive"]


def test_while_sqs_is_away_the_trigger_waits_and_says_so_and_then_hears(hearing, free_port):
    port = free_port()
    waiting = hearing.world.in_background(hearing.receive, AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")
    assert within(40, lambda: f"no triggers from {hearing.queue.url}, waiting" in hearing.world.airflow.log)
    assert not waiting.done()
    hearing.send(hearing.trigger())
    back = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)  # the same queues, elsewhere
    back.start()
    try:
        (message,) = waiting.result(50)["messages"]
    finally:
        back.stop()
    assert message["body"] == hearing.trigger()
    assert message["attempt"] == 1
