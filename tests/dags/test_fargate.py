"""The train step as an ECS task: ``dag.test()`` against moto's ECS with simulated containers."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest
import skops.io  # noqa: F401  # before Airflow: skops reads every attribute in sys.modules, and Airflow's warn

import homeostat
from homeostat.config import Settings, load_model
from homeostat.config.errors import Refused, Unavailable
from homeostat.ports import Notice, NoticeKind
from homeostat.retraining.remote_training import save_failure
from homeostat.rollouts.refusal_notice import failed_once
from homeostat.storage.retrain_request import run_key
from homeostat.storage.step_results import find_result, load_result
from homeostat_airflow.fargate import environment_of, task_end
from sample_model import MODEL

LIBRARY = Path(homeostat.__file__).parents[1]
PROGRAM = (sys.executable, "-c", "from homeostat.cli import main; main()")
CLUSTER, FAMILY, GROUP = "models", "models-train", "/models/train"


@dataclass
class SimulatedFargate:
    """Simulates containers, which moto does not: ``container`` gets a new task and returns its end."""

    settings: dict
    client: object = field(repr=False)
    container: object = None
    tasks: list = field(default_factory=list)

    def end(self, task):
        task.last_status = task.desired_status = "STOPPED"
        container = task.containers[0]
        container.last_status = "STOPPED"
        for name, value in (self.container(task) or {}).items():
            setattr(task if name in ("stop_code", "stopped_reason") else container, name, value)
        if container.exitCode is None:
            del container.exitCode


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
    settings = {
        "cluster": CLUSTER,
        "task_definition": FAMILY,
        "container": "train",
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "security_groups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
        "log_group": GROUP,
    }
    found = SimulatedFargate(settings, ecs)
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
def ecs_setup(setup, fargate, s3_server):
    """The sample model, trained on ECS, with its store on S3."""
    folder = setup.folder / "models" / setup.name
    text = (folder / "model.yaml").read_text()
    assert "training: {" in text
    (folder / "model.yaml").write_text(text.replace("training: {", "training: {runs_on: ecs, "))
    setup.env |= {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    setup.env |= {
        "HOMEOSTAT_STORE": f"s3://{s3_server.bucket}/{setup.name}",
        "HOMEOSTAT_ECS": json.dumps(fargate.settings),
        "HOMEOSTAT_GIT_REVISION": "abc123",
        "HOMEOSTAT_LEDGER": f"sqlite:///{setup.folder}/secret.db",
    }
    return setup


def run_key_of(task):
    return task.overrides["containerOverrides"][0]["command"][-1]


def task_environment(task):
    return {each["name"]: each["value"] for each in task.overrides["containerOverrides"][0]["environment"]}


def failure_texts(dag_run):
    return [note["text"] for note in dag_run["callbacks"] if note["task"] == "train"]


def callback_kinds(dag_run):
    return [note["kind"] for note in dag_run["callbacks"] if note["task"] == "train"]


def failing_container(store, model, status, error=None, notices=()):
    """Return a container that saves a failure and ends with this status."""

    def container(task):
        if error is not None:
            key = run_key_of(task)
            own = [(targets, replace(notice, once=failed_once(key))) for targets, notice in notices]
            save_failure(store, model, key, error, own)
        return {"exitCode": status, "stopped_reason": "Essential container in task exited"}

    return container


@pytest.mark.slow
def test_the_ecs_task_gets_the_right_command_and_completes_the_step(ecs_setup, fargate, tmp_path):
    def container(task):
        """Run the command as a process with the task's environment and no ledger."""
        image = {"PYTHONPATH": str(LIBRARY), "HOMEOSTAT_STATE": str(tmp_path / "container")}
        definition = {each["name"]: each["value"] for each in task.containers[0].environment}
        here = {
            name: value
            for name, value in {**os.environ, **ecs_setup.env}.items()
            if name.startswith(("AWS_", "PATH")) or name == "HOMEOSTAT_MODELS"
        }
        run = subprocess.run(
            [*PROGRAM, *task.overrides["containerOverrides"][0]["command"][1:]],
            env={**here, **definition, **task_environment(task), **image},
            capture_output=True,
            text=True,
            check=False,
        )
        output.append(run.stdout + run.stderr)
        return {"exitCode": run.returncode}

    output, fargate.container = [], container
    dag_run = ecs_setup.retrain(mark_success="shadow|canary|promote")
    [task] = fargate.tasks
    assert dag_run["tasks"]["train"] == "success", (dag_run["callbacks"], output)
    key = run_key(ecs_setup.name, dag_run["run_id"])
    [override] = task.overrides["containerOverrides"]
    assert override["name"] == "train"
    assert override["command"] == ["homeostat", "train-step", ecs_setup.name, "--run-key", key]
    overrides = task_environment(task)
    assert len(overrides.pop("HOMEOSTAT_MODEL_DIGEST")) == 64
    assert overrides == {
        "HOMEOSTAT_STORE": ecs_setup.env["HOMEOSTAT_STORE"],
        "MLFLOW_TRACKING_URI": ecs_setup.env["MLFLOW_TRACKING_URI"],
        "HOMEOSTAT_GIT_REVISION": "abc123",
    }, "no secret, and not the ledger"
    network = task.network_configuration["awsvpcConfiguration"]
    assert network["subnets"] == fargate.settings["subnets"]
    assert network["securityGroups"] == fargate.settings["security_groups"]
    assert network["assignPublicIp"] == "DISABLED"
    assert task.launch_type == "FARGATE"
    tags = {tag["key"]: tag["value"] for tag in task.tags}
    assert tags == {"homeostat:model": ecs_setup.name, "homeostat:run_key": key}
    result = load_result(ecs_setup.ports.store, ecs_setup.name, key, "train")
    assert dag_run["xcoms"]["train"] == result
    assert result["environment"]["image_digest"] == "sha256:" + "a" * 64
    assert result["environment"]["git_revision"] == "abc123"
    assert dag_run["tasks"]["register"] == "success"

    again = ecs_setup.retrain(run=ecs_setup.runs, mark_success="shadow|canary|promote")
    assert again["run_id"] == dag_run["run_id"]
    assert again["xcoms"]["train"] == result
    assert len(fargate.tasks) == 1, "a step with a result starts no task"


@pytest.mark.slow
def test_a_temporary_failure_is_retried_and_a_refusal_sends_a_notice(ecs_setup, fargate, receiver):
    store = ecs_setup.ports.store
    fargate.container = failing_container(store, ecs_setup.name, 75, Unavailable("MLflow does not answer"))
    dag_run = ecs_setup.retrain(retries=1)
    assert callback_kinds(dag_run) == ["retry", "failure"]
    assert failure_texts(dag_run) == ["in the container: Unavailable: MLflow does not answer"] * 2
    assert len(fargate.tasks) == 2

    notice = Notice(
        NoticeKind.ENVIRONMENT_REFUSED, ecs_setup.name, f"{ecs_setup.name} was not fitted", "another image"
    )
    error = Refused("another image")
    fargate.container = failing_container(store, ecs_setup.name, 1, error, [(("people",), notice)])
    dag_run = ecs_setup.retrain(retries=1)
    assert callback_kinds(dag_run) == ["failure"]
    assert failure_texts(dag_run) == ["in the container: Refused: another image"]
    assert len(fargate.tasks) == 3
    assert find_result(store, ecs_setup.name, run_key(ecs_setup.name, dag_run["run_id"]), "train") is None
    assert ecs_setup.ports.ledger.lease_holder(ecs_setup.name, datetime.now(UTC)) is None, (
        "its lease was released"
    )
    assert receiver.titles == ["a retrain failed", "was not fitted"], "one notice of each retrain"


@pytest.mark.slow
def test_a_task_stopped_by_aws_shows_the_reason_and_is_retried(ecs_setup, fargate):
    pull = "CannotPullContainerError: pull image manifest has been retried 5 times"
    fargate.container = lambda _: {
        "exitCode": None,
        "stop_code": "TaskFailedToStart",
        "stopped_reason": pull,
    }
    dag_run = ecs_setup.retrain(retries=1)
    assert callback_kinds(dag_run) == ["retry", "failure"]
    assert failure_texts(dag_run) == [f"the container did not run: {pull}"] * 2


@pytest.mark.slow
def test_without_a_saved_failure_the_end_of_the_containers_log_is_shown(ecs_setup, fargate):
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
    dag_run = ecs_setup.retrain(retries=1)
    assert callback_kinds(dag_run) == ["failure"], "a retry would run the same old image"
    assert (
        "the container ended with status 2: Essential container in task exited" in failure_texts(dag_run)[0]
    )
    assert failure_texts(dag_run)[0].endswith("first\nNo such command")


@pytest.mark.slow
def test_a_running_task_is_found_again_and_no_second_one_is_started(ecs_setup, fargate):
    store = ecs_setup.ports.store
    fargate.container = failing_container(store, ecs_setup.name, 75)
    first = ecs_setup.retrain()
    assert first["tasks"]["train"] == "failed"
    [before] = fargate.tasks
    fargate.container = None  # the next task keeps running, as after the death of its worker
    network = {"awsvpcConfiguration": dict(before.network_configuration["awsvpcConfiguration"])}
    fargate.client.run_task(
        cluster=CLUSTER,
        taskDefinition=FAMILY,
        launchType="FARGATE",
        startedBy=before.started_by,
        overrides=before.overrides,
        networkConfiguration=network,
    )
    key = run_key_of(before)
    fargate.tasks[1].containers[0].exitCode = 1
    save_failure(store, ecs_setup.name, key, ValueError("from the running task"))
    again = ecs_setup.retrain(run=ecs_setup.runs)
    assert again["run_id"] == first["run_id"]
    assert len(fargate.tasks) == 2
    assert failure_texts(again) == ["in the container: ValueError: from the running task"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ({"HOMEOSTAT_ECS": ""}, "HOMEOSTAT_ECS is not set: set it for every Airflow process"),
        ({"HOMEOSTAT_STORE": "file:///tmp/none"}, "which an ECS task cannot reach"),
    ],
)
def test_a_missing_setting_fails_with_its_name_and_starts_no_task(ecs_setup, fargate, missing, message):
    if "HOMEOSTAT_STORE" in missing:
        missing = {"HOMEOSTAT_STORE": f"file://{ecs_setup.folder}/store"}
    dag_run = ecs_setup.retrain(retries=1, env=missing)
    assert callback_kinds(dag_run) == ["failure"]
    assert message in failure_texts(dag_run)[0]
    assert fargate.tasks == []


def test_environment_overrides_hold_no_password(monkeypatch, tmp_path):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "model.yaml").write_text(MODEL)
    monkeypatch.setenv("HOMEOSTAT_GIT_REVISION", "abc")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://user:hunter22@mlflow.example.com")
    settings = Settings.from_env(
        {"HOMEOSTAT_STORE": "s3://b/p", "HOMEOSTAT_LEDGER": "postgresql://u:hunter22@h/d"}
        | {"HOMEOSTAT_MLFLOW_PUBLIC_URL": "https://mlflow.example.com"}
    )
    overrides = environment_of(settings, load_model(tmp_path / "sample"))
    links = "HOMEOSTAT_MLFLOW_PUBLIC_URL"  # the step returns a link to its run
    assert set(overrides) == {"HOMEOSTAT_STORE", "HOMEOSTAT_MODEL_DIGEST", "HOMEOSTAT_GIT_REVISION", links}
    assert overrides[links] == "https://mlflow.example.com"
    assert "hunter22" not in json.dumps(overrides)


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
def test_the_end_of_a_task_decides_whether_a_retry_helps(container, retryable):
    other = {"name": "sidecar", "exitCode": 0}
    task = {"stoppedReason": "it stopped", "containers": [other, {"name": "train", **container}]}
    ended = task_end(task, "train")
    assert ended.retryable is retryable
    assert ended.sentence
    assert task_end({}, "train").retryable
