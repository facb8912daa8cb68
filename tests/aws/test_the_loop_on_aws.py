"""The whole loop on what Terraform made: schedule, function, queue, Airflow, Fargate, and a new champion.

AWS is moto. What it does not run is run here: the function's handler for the schedule's own event, and the
command that it was told to run on Fargate. Gateways are the ones of the tests of operators.
"""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests

import sample_model
from dags.operator_harness import QUICK, Receiver, gateway
from homeostat.adapters import build_ports
from homeostat.adapters.clock import FakeClock
from homeostat.config import Settings, load_model
from homeostat.dev_stack import Platform
from homeostat.storage.retrain_request import RetrainRequest, run_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
#: One of the models for which the stack has a schedule.
NAME = "bike_demand"
CHANGES = {
    "name: toy": f"name: {NAME}",
    "delay: 1h": "delay: 1m",
    "window: 4h, min_rows: 60}": "window: 1h, min_rows: 60, runs_on: lambda}",
    "consecutive: 2": "consecutive: 3",
    "min_rows: 200}\ngate": "min_rows: 200, runs_on: ecs}\ngate",
    **QUICK,
}
INVOKE = """
import json, sys
from homeostat.aws.lambda_handler import handler
answer = handler(json.loads(sys.argv[1]))
print(json.dumps([answer, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
HOUR = timedelta(hours=1)


def within(seconds, condition, what, world=None):
    """What a condition gives once it gives something; fails the test when that takes too long."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds} s. {world.state_of_things() if world else ''}")
        time.sleep(0.2)


def rows_of(now, first, last, **how):
    """Rows from ``first`` to ``last`` hours ago: the same ones at whatever hour the test runs."""
    rows = sample_model.rows_between(sample_model.T0 - first * HOUR, sample_model.T0 - last * HOUR, **how)
    rows["at"] += now - sample_model.T0
    return rows


@dataclass
class World:
    """One model of the stack, its files and services."""

    name: str
    env: dict[str, str]
    folder: Path
    stack: object
    now: datetime
    receiver: Receiver
    platform: Platform = None

    @property
    def config(self):
        return load_model(self.folder / "models" / self.name)

    @property
    def ports(self):
        return build_ports(Settings.from_env(self.env))

    @property
    def airflow(self):
        return self.platform.airflow

    def make_champion(self):
        """The first retrain, seven hours ago, by the flows themselves; then what gateways logged since."""
        ports = replace(self.ports, clock=FakeClock(self.now - 7 * HOUR))
        request = RetrainRequest("first", "first", until=(self.now - 7 * HOUR).isoformat())
        assert sample_model.retrain(self.config, ports, request)["phase"] == "champion"
        calm = rows_of(self.now, 6, 4, per_hour=120)
        sample_model.serve(self.config, ports, calm, gateway="g1", labels=True)
        shifted = rows_of(self.now, 4, 1, per_hour=120, shift=3.0)
        sample_model.serve(self.config, ports, shifted, gateway="g2", labels=False)

    def schedule_says(self, end):
        """The event that EventBridge Scheduler sends for the hour that ends then."""
        group = self.stack.outputs["schedule_group"]
        target = self.stack.client("scheduler").get_schedule(Name=self.name, GroupName=group)["Target"]
        assert target["Arn"].endswith(f":function:{self.stack.outputs['detector_function']}")
        return target["Input"].replace("<aws.scheduler.scheduled-time>", f"{end:%Y-%m-%dT%H:%M:%SZ}")

    def invoke(self, event):
        """Run the function as AWS does: a process of its own with the environment that Terraform gave it."""
        name = self.stack.outputs["detector_function"]
        told = self.stack.client("lambda").get_function_configuration(FunctionName=name)
        env = {**bare(), **self.stack.environment, **told["Environment"]["Variables"]}
        done = subprocess.run(
            [sys.executable, "-c", INVOKE, event], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        answer, modules = json.loads(done.stdout.splitlines()[-1])
        assert not {"airflow", "mlflow", "sklearn"} & set(modules)
        return answer

    def messages(self):
        """How many messages are on the queue, those that somebody has taken included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.stack.outputs["trigger_queue_url"]
        found = self.stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def task_on_fargate(self):
        """The task that Airflow has started on ECS, if it has."""
        ecs, cluster = self.stack.client("ecs"), self.place["cluster"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"]
        return ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []

    @property
    def place(self):
        return json.loads(self.stack.outputs["airflow_environment"]["HOMEOSTAT_ECS"])

    def run_the_container(self, task):
        """Run the container's command here, with the environment that ECS would give it."""
        (told,) = task["overrides"]["containerOverrides"]
        definition = self.stack.client("ecs").describe_task_definition(
            taskDefinition=task["taskDefinitionArn"]
        )
        (container,) = definition["taskDefinition"]["containerDefinitions"]
        own = {each["name"]: each["value"] for each in container["environment"]}
        overrides = {each["name"]: each["value"] for each in told["environment"]}
        env = {
            **bare(),
            **self.stack.environment,
            "HOMEOSTAT_MODELS": str(self.folder / "models"),  # the image has them
            "HOMEOSTAT_STATE": str(self.folder / "in-the-container"),
            **own,
            **overrides,
        }
        program = [sys.executable, "-c", "from homeostat.cli import main; main()"]
        assert told["command"][0] == "homeostat"
        return subprocess.run(
            [*program, *told["command"][1:]],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def state_of_things(self):
        """What Airflow has done, for a failure's message."""
        if self.platform is None:
            return ""
        told = []
        for dag in ("hear_triggers", f"retrain__{self.name}", f"drift_check__{self.name}"):
            for run in self.airflow.runs(dag):
                tasks = self.airflow.task_instances(dag, run["dag_run_id"])
                states = {task["task_id"]: task["state"] for task in tasks}
                told.append(f"{dag} {run['dag_run_id']} {run['state']} {states}")
        logs = [f"{s.name}: {s.last_lines(5)}" for s in self.platform.services if s.name != "mlflow"]
        return "\n".join([*told, *logs])


def bare():
    """The environment of a process that knows of this machine no more than where Python's files lie."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT / "include")}


@dataclass(frozen=True)
class Story:
    """What happened, in order."""

    world: World
    answers: list[dict]
    on_the_queue: list[int]
    run: dict
    task: dict
    step: subprocess.CompletedProcess
    heard: list[dict]
    collected: dict


@pytest.fixture(scope="module")
def world(aws_stack, tmp_path_factory):
    folder, receiver = tmp_path_factory.mktemp("aws"), Receiver()
    home = folder / "models" / NAME
    home.mkdir(parents=True)
    text = sample_model.MODEL
    for old, new in CHANGES.items():
        assert old in text
        text = text.replace(old, new)
    (home / "model.yaml").write_text(text)
    (home / "pipeline.py").write_text(sample_model.PIPELINE)
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    calm = rows_of(now, 5 * 24, 4)
    shifted = rows_of(now, 4, 1, per_hour=240, shift=3.0)
    sample_model.pd.concat([calm, shifted]).to_csv(home / "rows.csv", index=False)
    env = {
        **aws_stack.airflow,
        "HOMEOSTAT_MODELS": str(folder / "models"),
        "HOMEOSTAT_STATE": str(folder / "state"),
        "AIRFLOW_CONN_PEOPLE": receiver.connection,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        yield World(NAME, env, folder, aws_stack, now, receiver)
    receiver.stop()


@pytest.fixture(scope="module")
def story(world):
    """Play it once; every test looks at another side of it."""
    # A task on ECS ends when the test says so, and not when it has been looked at four times.
    hold = {"model_name": "ecs::task", "transition": {"progression": "manual", "times": 1_000_000}}
    address = f"{world.stack.endpoint}/moto-api/state-manager"
    requests.post(f"{address}/set-transition", json=hold, timeout=10).raise_for_status()
    with Platform(Settings.from_env(world.env), gateway=False) as platform:
        world.platform = platform
        world.make_champion()
        yield play(world)
    requests.post(f"{address}/unset-transition", json={"model_name": "ecs::task"}, timeout=10)


def open_for_tasks(airflow, slots):
    """Let so many tasks run at a time."""
    asked = {"json": {"slots": slots}, "params": {"update_mask": "slots"}}
    airflow.request("PATCH", "/pools/default_pool", **asked)


def play(world):
    airflow, ecs = world.airflow, world.stack.client("ecs")
    dag = f"retrain__{world.name}"
    for name in (dag, "hear_triggers", f"drift_check__{world.name}"):
        airflow.wait_for_dag(name, 240)
    airflow.wait_for_run(f"drift_check__{world.name}", airflow.trigger(f"drift_check__{world.name}"), 240)
    assert world.ports.store.exists(f"published/{world.name}.json")

    answers, on_the_queue = [], []
    open_for_tasks(airflow, 0)  # so that the queue can be looked at: what is heard waits for a slot
    for ago in (5, 4, 3, 2, 1):
        answers.append(world.invoke(world.schedule_says(world.now - ago * HOUR)))
        on_the_queue.append(world.messages())
    open_for_tasks(airflow, 128)

    (run,) = within(240, lambda: airflow.runs(dag), "Airflow hears the trigger", world)
    (task,) = within(240, world.task_on_fargate, "Airflow starts the task", world)
    step = world.run_the_container(task)
    ecs.stop_task(cluster=world.place["cluster"], task=task["taskArn"], reason="the container has ended")
    with gateway(world):
        run = airflow.wait_for_run(dag, run["dag_run_id"], 400)
    again = airflow.trigger(f"drift_check__{world.name}")
    airflow.wait_for_run(f"drift_check__{world.name}", again, 240)
    heard = airflow.runs("hear_triggers")
    return Story(
        world=world,
        answers=answers,
        on_the_queue=on_the_queue,
        run=run,
        task=task,
        step=step,
        heard=[each for one in heard for each in airflow.task_instances("hear_triggers", one["dag_run_id"])],
        collected=airflow.xcom(f"drift_check__{world.name}", again, "collect"),
    )


def test_the_third_drifted_window_puts_one_message_on_the_queue(story):
    assert [answer["verdict"] for answer in story.answers] == ["pass", "pass", "alert", "alert", "alert"]
    assert [answer["fired"] for answer in story.answers] == [False] * 4 + [True]
    assert story.on_the_queue == [0, 0, 0, 0, 1]


def test_airflow_hears_it_and_takes_it_off_the_queue(story):
    states = {task["task_id"]: task["state"] for task in story.heard}
    assert states == {"read": "success", "message.start": "success", "message.done": "success"}
    assert story.run["dag_run_id"].startswith("trigger__")
    assert story.run["conf"]["trigger_id"] == story.answers[-1]["trigger_id"]
    assert len(story.world.airflow.runs(f"retrain__{NAME}")) == 1
    assert story.world.messages() == 0


def test_fargate_gets_the_right_task(story):
    place, task = story.world.place, story.task
    assert task["launchType"] == "FARGATE"
    assert task["clusterArn"].endswith(f"/{place['cluster']}")
    assert f"/{place['task_definition']}:" in task["taskDefinitionArn"]
    (attached,) = task["attachments"]
    details = {each["name"]: each["value"] for each in attached["details"]}
    assert details["subnetId"] in place["subnets"]
    interface = story.world.stack.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]]
    )["NetworkInterfaces"][0]
    assert [group["GroupId"] for group in interface["Groups"]] == place["security_groups"]
    (told,) = task["overrides"]["containerOverrides"]
    key = run_key(NAME, story.run["dag_run_id"])
    assert told["name"] == place["container"]
    assert told["command"] == ["homeostat", "train-step", NAME, "--run-key", key]
    environment = {each["name"]: each["value"] for each in told["environment"]}
    assert environment["HOMEOSTAT_STORE"] == story.world.stack.outputs["store"]
    assert environment["MLFLOW_TRACKING_URI"] == story.world.platform.mlflow_url
    assert "HOMEOSTAT_LEDGER" not in environment, "whoever may describe tasks would read its password"


def test_the_containers_own_command_fits_the_version_that_becomes_champion(story):
    assert story.step.returncode == 0, story.step.stdout + story.step.stderr
    assert story.run["state"] == "success", story.world.state_of_things()
    ports = story.world.ports
    champion = ports.ledger.read(NAME).champion
    assert champion.version == "2"
    assert ports.registry.aliases(NAME)["champion"] == "2"
    tags = ports.registry.version(NAME, "2").tags
    assert tags["homeostat.reason"] == story.answers[-1]["reason"] == "sustained_drift"
    assert tags["homeostat.gate"] == "passed"
    assert champion.digest in story.step.stdout


def test_mlflow_has_what_the_function_saw_and_people_were_told(story):
    windows = story.world.ports.history.windows(NAME)
    assert [record.window_end for record in windows] == [
        story.world.now - ago * HOUR for ago in (5, 4, 3, 2, 1)
    ]
    assert [record.fired for record in windows] == [answer["fired"] for answer in story.answers]
    assert story.collected["collected"] == 5
    titles = story.world.receiver.titles
    assert titles.count("has gone stale and is being retrained") == 1
    assert any("champion" in title for title in titles), titles
