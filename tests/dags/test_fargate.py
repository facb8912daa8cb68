"""The train step as an ECS task: run by ``dag.test()`` against moto's ECS, whose containers we play."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

import homeostat
from homeostat.config import Settings, load_model
from homeostat.config.errors import Refused, Unavailable
from homeostat.ports import Notice, NoticeKind
from homeostat.retraining.remote_training import save_failure
from homeostat.storage.retrain_request import run_key
from homeostat.storage.step_results import find_result, load_result
from homeostat_airflow.fargate import task_end, environment_of
from sample_model import MODEL

LIBRARY = Path(homeostat.__file__).parents[1]
PROGRAM = (sys.executable, "-c", "from homeostat.cli import main; main()")
CLUSTER, FAMILY, GROUP = "models", "models-train", "/models/train"


@dataclass
class Fargate:
    """What moto lacks: ``container`` is called as a task starts, and says how it ended."""

    place: dict
    client: object = field(repr=False)
    container: object = None
    tasks: list = field(default_factory=list)

    def end(self, task):
        task.last_status = task.desired_status = "STOPPED"
        mine = task.containers[0]
        mine.last_status = "STOPPED"
        for name, value in (self.container(task) or {}).items():
            setattr(task if name in ("stop_code", "stopped_reason") else mine, name, value)
        if mine.exitCode is None:
            del mine.exitCode


@pytest.fixture
def fargate(s3_server, monkeypatch):
    """A cluster, a task definition and a log group on moto."""
    from moto.ecs.models import EC2ContainerServiceBackend
    from moto.moto_api import state_manager

    ecs, ec2 = boto3.client("ecs"), boto3.client("ec2")
    ecs.create_cluster(clusterName=CLUSTER)
    ecs.register_task_definition(
        family=FAMILY,
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="4096",
        memory="16384",
        containerDefinitions=[
            {
                "name": "train",
                "image": "homeostat@sha256:" + "a" * 64,
                "memory": 16384,
                "environment": [{"name": "HOMEOSTAT_IMAGE_DIGEST", "value": "sha256:" + "a" * 64}],
            }
        ],
    )
    logs = boto3.client("logs")
    if not logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]:
        logs.create_log_group(logGroupName=GROUP)
    place = {
        "cluster": CLUSTER,
        "task_definition": FAMILY,
        "container": "train",
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "security_groups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
        "log_group": GROUP,
    }
    found = Fargate(place, ecs)
    run_task = EC2ContainerServiceBackend.run_task

    def run(self, *args, **kwargs):
        tasks = run_task(self, *args, **kwargs)
        found.tasks += tasks
        if found.container is not None:
            found.end(tasks[0])
        return tasks

    monkeypatch.setattr(EC2ContainerServiceBackend, "run_task", run)
    state_manager.set_transition("ecs::task", {"progression": "immediate"})
    yield found
    state_manager.unset_transition("ecs::task")
    ecs.delete_cluster(cluster=CLUSTER)


@pytest.fixture
def sent(world, fargate, s3_server):
    """The toy model, fitted on ECS, with its store on S3."""
    folder = world.folder / "models" / world.name
    text = (folder / "model.yaml").read_text()
    assert "training: {" in text
    (folder / "model.yaml").write_text(text.replace("training: {", "training: {runs_on: ecs, "))
    world.env |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    world.env |= {
        "HOMEOSTAT_STORE": f"s3://{s3_server.bucket}/{world.name}",
        "HOMEOSTAT_ECS": json.dumps(fargate.place),
        "HOMEOSTAT_GIT_REVISION": "abc123",
        "HOMEOSTAT_LEDGER": f"sqlite:///{world.folder}/secret.db",
    }
    return world


def state_key(task):
    return task.overrides["containerOverrides"][0]["command"][-1]


def told_to(task):
    return {each["name"]: each["value"] for each in task.overrides["containerOverrides"][0]["environment"]}


def reason(done):
    return [note["text"] for note in done["told"] if note["task"] == "train"]


def kinds(done):
    return [note["kind"] for note in done["told"] if note["task"] == "train"]


def ends_with(store, model, status, error=None, notices=()):
    """A container that leaves its failure and ends with this status."""

    def container(task):
        if error is not None:
            save_failure(store, model, state_key(task), error, notices)
        return {"exitCode": status, "stopped_reason": "Essential container in task exited"}

    return container


@pytest.mark.slow
def test_the_task_is_the_right_one_and_its_command_finishes_the_step(sent, fargate, tmp_path):
    def container(task):
        """The command itself, as a process with the environment of the task and no ledger."""
        image = {"PYTHONPATH": str(LIBRARY), "HOMEOSTAT_STATE": str(tmp_path / "container")}
        definition = {each["name"]: each["value"] for each in task.containers[0].environment}
        here = {
            name: value
            for name, value in {**os.environ, **sent.env}.items()
            if name.startswith(("AWS_", "PATH")) or name == "HOMEOSTAT_MODELS"
        }
        run = subprocess.run(
            [*PROGRAM, *task.overrides["containerOverrides"][0]["command"][1:]],
            env={**here, **definition, **told_to(task), **image},
            capture_output=True,
            text=True,
            check=False,
        )
        output.append(run.stdout + run.stderr)
        return {"exitCode": run.returncode}

    output, fargate.container = [], container
    done = sent.retrain(mark_success="shadow|canary|promote")
    [task] = fargate.tasks
    assert done["tasks"]["train"] == "success", (done["told"], output)
    key = run_key(sent.name, done["run_id"])
    [override] = task.overrides["containerOverrides"]
    assert override["name"] == "train"
    assert override["command"] == ["homeostat", "train-step", sent.name, "--run-key", key]
    told = told_to(task)
    assert len(told.pop("HOMEOSTAT_MODEL_DIGEST")) == 64
    assert told == {
        "HOMEOSTAT_STORE": sent.env["HOMEOSTAT_STORE"],
        "MLFLOW_TRACKING_URI": sent.env["MLFLOW_TRACKING_URI"],
        "HOMEOSTAT_GIT_REVISION": "abc123",
    }, "nothing that may not be read by others, and not the ledger"
    network = task.network_configuration["awsvpcConfiguration"]
    assert network["subnets"] == fargate.place["subnets"]
    assert network["securityGroups"] == fargate.place["security_groups"]
    assert network["assignPublicIp"] == "DISABLED"
    assert task.launch_type == "FARGATE"
    tags = {tag["key"]: tag["value"] for tag in task.tags}
    assert tags == {"homeostat:model": sent.name, "homeostat:run_key": key}
    result = load_result(sent.ports.store, sent.name, key, "train")
    assert done["xcoms"]["train"] == result
    assert result["environment"]["image_digest"] == "sha256:" + "a" * 64
    assert result["environment"]["git_revision"] == "abc123"
    assert done["tasks"]["register"] == "success"

    again = sent.retrain(run=sent.runs, mark_success="shadow|canary|promote")
    assert again["run_id"] == done["run_id"]
    assert again["xcoms"]["train"] == result
    assert len(fargate.tasks) == 1, "what has a result starts no task"


@pytest.mark.slow
def test_a_temporary_failure_is_retried_and_a_refusal_is_notified(sent, fargate, receiver):
    store = sent.ports.store
    fargate.container = ends_with(store, sent.name, 75, Unavailable("MLflow does not answer"))
    done = sent.retrain(retries=1)
    assert kinds(done) == ["retry", "failure"]
    assert reason(done) == ["in the container: Unavailable: MLflow does not answer"] * 2
    assert len(fargate.tasks) == 2

    notice = Notice(NoticeKind.ENVIRONMENT_REFUSED, sent.name, f"{sent.name} was not fitted", "another image")
    error = Refused("another image")
    fargate.container = ends_with(store, sent.name, 1, error, [(("people",), notice)])
    done = sent.retrain(retries=1)
    assert kinds(done) == ["failure"]
    assert reason(done) == ["in the container: Refused: another image"]
    assert len(fargate.tasks) == 3
    assert find_result(store, sent.name, run_key(sent.name, done["run_id"]), "train") is None
    assert sent.ports.ledger.lease_holder(sent.name, datetime.now(UTC)) is None, "its lease was released"
    assert receiver.titles == ["was not fitted"]


@pytest.mark.slow
def test_a_task_that_aws_stopped_gives_awss_reason_and_is_tried_again(sent, fargate):
    pull = "CannotPullContainerError: pull image manifest has been retried 5 times"
    fargate.container = lambda _: {
        "exitCode": None,
        "stop_code": "TaskFailedToStart",
        "stopped_reason": pull,
    }
    done = sent.retrain(retries=1)
    assert kinds(done) == ["retry", "failure"]
    assert reason(done) == [f"the container did not run: {pull}"] * 2


@pytest.mark.slow
def test_without_a_sentence_the_end_of_the_containers_log_is_shown(sent, fargate):
    def container(task):
        stream = f"train/train/{task.task_arn.rpartition('/')[2]}"
        logs = boto3.client("logs")
        logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        events = [
            {"timestamp": int(time.time() * 1000), "message": line} for line in ("first", "No such command")
        ]
        logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)
        return {"exitCode": 2, "stopped_reason": "Essential container in task exited"}

    fargate.container = container
    done = sent.retrain(retries=1)
    assert kinds(done) == ["failure"], "an image that does not know the command will not learn it"
    assert "the container ended with status 2: Essential container in task exited" in reason(done)[0]
    assert reason(done)[0].endswith("first\nNo such command")


@pytest.mark.slow
def test_a_task_that_still_runs_is_found_again_and_no_second_is_started(sent, fargate):
    store = sent.ports.store
    fargate.container = ends_with(store, sent.name, 75)
    first = sent.retrain()
    assert first["tasks"]["train"] == "failed"
    [before] = fargate.tasks
    fargate.container = None  # the next one runs on, as if its worker had been killed right after it began
    network = {"awsvpcConfiguration": dict(before.network_configuration["awsvpcConfiguration"])}
    fargate.client.run_task(
        cluster=CLUSTER,
        taskDefinition=FAMILY,
        launchType="FARGATE",
        startedBy=before.started_by,
        overrides=before.overrides,
        networkConfiguration=network,
    )
    key = state_key(before)
    fargate.tasks[1].containers[0].exitCode = 1
    save_failure(store, sent.name, key, ValueError("told by the task that was found"))
    again = sent.retrain(run=sent.runs)
    assert again["run_id"] == first["run_id"]
    assert len(fargate.tasks) == 2
    assert reason(again) == ["in the container: ValueError: told by the task that was found"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ({"HOMEOSTAT_ECS": ""}, "HOMEOSTAT_ECS is not set: set it for every process of Airflow"),
        ({"HOMEOSTAT_STORE": "file:///tmp/none"}, "which no task on ECS can reach"),
    ],
)
def test_an_installation_that_cannot_send_it_says_what_to_set(sent, fargate, missing, sentence):
    if "HOMEOSTAT_STORE" in missing:
        missing = {"HOMEOSTAT_STORE": f"file://{sent.folder}/store"}
    done = sent.retrain(retries=1, env=missing)
    assert kinds(done) == ["failure"]
    assert sentence in reason(done)[0]
    assert fargate.tasks == []


def test_no_password_goes_along(monkeypatch, tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "model.yaml").write_text(MODEL)
    monkeypatch.setenv("HOMEOSTAT_GIT_REVISION", "abc")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:hunter22@mlflow.example.com")
    settings = Settings.from_env(
        {"HOMEOSTAT_STORE": "s3://b/p", "HOMEOSTAT_LEDGER": "postgresql://u:hunter22@h/d"}
    )
    told = environment_of(settings, load_model(tmp_path / "toy"))
    assert set(told) == {"HOMEOSTAT_STORE", "HOMEOSTAT_MODEL_DIGEST", "HOMEOSTAT_GIT_REVISION"}
    assert "hunter22" not in json.dumps(told)


@pytest.mark.parametrize(
    ("container", "retryable"),
    [
        ({"exitCode": 75}, True),
        ({"exitCode": 70}, True),
        ({"exitCode": 137}, True),
        ({"exitCode": 1}, False),
        ({"exitCode": 2}, False),
        ({"exitCode": 0}, False),
        ({"exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}, False),
        ({}, True),
    ],
)
def test_the_end_of_a_task_says_whether_a_retry_helps(container, retryable):
    other = {"name": "sidecar", "exitCode": 0}
    task = {"stoppedReason": "it stopped", "containers": [other, {"name": "train", **container}]}
    ended = task_end(task, "train")
    assert ended.retryable is retryable
    assert ended.sentence
    assert task_end({}, "train").retryable
