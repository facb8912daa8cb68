"""A retrain on the deployed stack: schedule, Lambda function, queue, Airflow, Fargate, new champion.

AWS is moto. The test runs what moto does not: the function's handler with the schedule's event, and the
command of the Fargate task. Gateways are those of the operators' tests.
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
from dags.operator_harness import SHORT_STAGES, Receiver, gateway
from homeostat.adapters import build_ports
from homeostat.adapters.clock import FakeClock
from homeostat.config import Settings, load_model
from homeostat.dev_stack import Platform
from homeostat.storage.retrain_request import RetrainRequest, run_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
#: A model with a schedule in the stack.
NAME = "bike_demand"
CHANGES = {
    "name: sample": f"name: {NAME}",
    "delay: 1h": "delay: 1m",
    "window: 4h, min_rows: 60}": "window: 1h, min_rows: 60, runs_on: lambda}",
    "consecutive: 2": "probes: false, consecutive: 3",
    "length: 10d": "length: 8h",  # so that three drifted hours are enough for a better version
    "min_rows: 200}\ngate": "min_rows: 200, runs_on: ecs}\ngate",
    **SHORT_STAGES,
}
INVOKE = """
import json, sys
from homeostat.aws.lambda_handler import handler
result = handler(json.loads(sys.argv[1]))
print(json.dumps([result, sorted({name.partition(".")[0] for name in sys.modules})]))
"""
HOUR = timedelta(hours=1)


def wait_for(seconds, condition, what, setup=None):
    """Return the condition's value once it is true; fail the test after a time limit."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {seconds} s. {setup.airflow_state() if setup else ''}")
        time.sleep(0.2)


def rows_of(now, first, last, **how):
    """Return rows from ``first`` to ``last`` hours ago, the same at any time of day."""
    rows = sample_model.rows_between(sample_model.T0 - first * HOUR, sample_model.T0 - last * HOUR, **how)
    rows["at"] += now - sample_model.T0
    return rows


@dataclass
class AwsFixture:
    """One model of the stack, with its files and services."""

    name: str
    env: dict[str, str]
    folder: Path
    stack: object
    now: datetime
    receiver: Receiver
    platform: Platform | None = None

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
        """Run the first retrain, seven hours ago, then log predictions since."""
        ports = replace(self.ports, clock=FakeClock(self.now - 7 * HOUR))
        request = RetrainRequest("first", "first", until=(self.now - 7 * HOUR).isoformat())
        assert sample_model.retrain(self.config, ports, request)["phase"] == "champion"
        calm = rows_of(self.now, 6, 4, per_hour=120)
        sample_model.serve(self.config, ports, calm, gateway="g1", labels=True)
        shifted = rows_of(self.now, 4, 1, per_hour=120, shift=3.0)
        sample_model.serve(self.config, ports, shifted, gateway="g2", labels=False)

    def scheduled_event(self, end):
        """Return the event that EventBridge Scheduler sends for the hour ending at ``end``."""
        group = self.stack.outputs["schedule_group"]
        target = self.stack.client("scheduler").get_schedule(Name=self.name, GroupName=group)["Target"]
        assert target["Arn"].endswith(f":function:{self.stack.outputs['detector_function']}")
        return target["Input"].replace("<aws.scheduler.scheduled-time>", f"{end:%Y-%m-%dT%H:%M:%SZ}")

    def invoke(self, event):
        """Run the function in a new process with the environment that Terraform set."""
        name = self.stack.outputs["detector_function"]
        function = self.stack.client("lambda").get_function_configuration(FunctionName=name)
        env = {**minimal_environment(), **self.stack.environment, **function["Environment"]["Variables"]}
        done = subprocess.run(
            [sys.executable, "-c", INVOKE, event], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-4000:]
        result, modules = json.loads(done.stdout.splitlines()[-1])
        assert not {"airflow", "mlflow", "sklearn"} & set(modules)
        return result

    def messages(self):
        """Return the number of messages on the queue, including those in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.stack.outputs["trigger_queue_url"]
        found = self.stack.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return sum(int(found["Attributes"][name]) for name in names)

    def fargate_tasks(self):
        """Return the tasks that Airflow has started on ECS."""
        ecs, cluster = self.stack.client("ecs"), self.fargate["cluster"]
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"]
        return ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"] if arns else []

    @property
    def fargate(self):
        return json.loads(self.stack.outputs["airflow_environment"]["HOMEOSTAT_ECS"])

    def run_container(self, task):
        """Run the container's command here, with the environment that ECS would set."""
        (override,) = task["overrides"]["containerOverrides"]
        definition = self.stack.client("ecs").describe_task_definition(
            taskDefinition=task["taskDefinitionArn"]
        )
        (container,) = definition["taskDefinition"]["containerDefinitions"]
        own = {each["name"]: each["value"] for each in container["environment"]}
        overrides = {each["name"]: each["value"] for each in override["environment"]}
        env = {
            **minimal_environment(),
            **self.stack.environment,
            "HOMEOSTAT_MODELS": str(self.folder / "models"),  # part of the image
            "HOMEOSTAT_STATE": str(self.folder / "in-the-container"),
            **own,
            **overrides,
        }
        program = [sys.executable, "-c", "from homeostat.cli import main; main()"]
        assert override["command"][0] == "homeostat"
        return subprocess.run(
            [*program, *override["command"][1:]],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    def airflow_state(self):
        """Return Airflow's runs and logs, for failure messages."""
        if self.platform is None:
            return ""
        lines = []
        for dag in ("consume_retrain_triggers", f"retrain__{self.name}", f"drift_check__{self.name}"):
            for run in self.airflow.runs(dag):
                tasks = self.airflow.task_instances(dag, run["dag_run_id"])
                states = {task["task_id"]: task["state"] for task in tasks}
                lines.append(f"{dag} {run['dag_run_id']} {run['state']} {states}")
        logs = [f"{s.name}: {s.last_lines(5)}" for s in self.platform.services if s.name != "mlflow"]
        return "\n".join([*lines, *logs])


def minimal_environment():
    """Return an environment without any setting of this machine except Python's path."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT / "include")}


@dataclass(frozen=True)
class LoopResult:
    """The results, in order."""

    setup: AwsFixture
    results: list[dict]
    queue_lengths: list[int]
    run: dict
    task: dict
    step: subprocess.CompletedProcess
    consumer_tasks: list[dict]
    synced: list[int]


@pytest.fixture(scope="module")
def setup(aws_stack, tmp_path_factory):
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
        yield AwsFixture(NAME, env, folder, aws_stack, now, receiver)
    receiver.stop()


@pytest.fixture(scope="module")
def loop(setup):
    """Run the loop once for all tests."""
    # moto would end a task after four requests; the test stops it instead.
    hold = {"model_name": "ecs::task", "transition": {"progression": "manual", "times": 1_000_000}}
    address = f"{setup.stack.endpoint}/moto-api/state-manager"
    requests.post(f"{address}/set-transition", json=hold, timeout=10).raise_for_status()
    with Platform(Settings.from_env(setup.env), gateway=False) as platform:
        setup.platform = platform
        setup.make_champion()
        yield run_loop(setup)
    requests.post(f"{address}/unset-transition", json={"model_name": "ecs::task"}, timeout=10)


def set_pool_slots(airflow, slots):
    """Set how many tasks may run at a time."""
    arguments = {"json": {"slots": slots}, "params": {"update_mask": "slots"}}
    airflow.request("PATCH", "/pools/default_pool", **arguments)


def run_loop(setup):
    airflow, ecs = setup.airflow, setup.stack.client("ecs")
    dag, check = f"retrain__{setup.name}", f"drift_check__{setup.name}"
    for name in (dag, "consume_retrain_triggers", check):
        airflow.wait_for_dag(name, 240)
    airflow.wait_for_run(check, airflow.trigger(check), 240)
    assert setup.ports.store.exists(f"published/{setup.name}.json")

    results, queue_lengths = [], []
    set_pool_slots(airflow, 0)  # received messages wait for a slot, so that the queue can be checked
    for ago in (5, 4, 3, 2, 1):
        results.append(setup.invoke(setup.scheduled_event(setup.now - ago * HOUR)))
        queue_lengths.append(setup.messages())
    set_pool_slots(airflow, 128)

    (run,) = wait_for(240, lambda: airflow.runs(dag), "Airflow receives the trigger", setup)
    (task,) = wait_for(240, setup.fargate_tasks, "Airflow starts the task", setup)
    step = setup.run_container(task)
    ecs.stop_task(cluster=setup.fargate["cluster"], task=task["taskArn"], reason="the container has ended")
    with gateway(setup):
        run = airflow.wait_for_run(dag, run["dag_run_id"], 400)
    airflow.wait_for_run(check, airflow.trigger(check), 240)
    # More than two when the hour changes in the meantime: the schedule starts one, too.
    checks = [airflow.wait_for_run(check, one["dag_run_id"], 240) for one in airflow.runs(check)]
    consumer_runs = airflow.runs("consume_retrain_triggers")
    return LoopResult(
        setup=setup,
        results=results,
        queue_lengths=queue_lengths,
        run=run,
        task=task,
        step=step,
        consumer_tasks=[
            each
            for one in consumer_runs
            for each in airflow.task_instances("consume_retrain_triggers", one["dag_run_id"])
        ],
        synced=[airflow.xcom(check, one["dag_run_id"], "sync_detector")["synced"] for one in checks],
    )


def test_the_third_drifted_window_puts_one_message_queue_lengths(loop):
    assert [result["verdict"] for result in loop.results] == ["pass", "pass", "alert", "alert", "alert"]
    assert [result["fired"] for result in loop.results] == [False] * 4 + [True]
    assert loop.queue_lengths == [0, 0, 0, 0, 1]


def test_airflow_receives_the_message_and_deletes_it(loop):
    states = {task["task_id"]: task["state"] for task in loop.consumer_tasks}
    assert states == {"receive": "success", "message.start": "success", "message.ack": "success"}
    assert loop.run["dag_run_id"].startswith("trigger__")
    assert loop.run["conf"]["trigger_id"] == loop.results[-1]["trigger_id"]
    assert len(loop.setup.airflow.runs(f"retrain__{NAME}")) == 1
    assert loop.setup.messages() == 0


def test_airflow_starts_the_right_fargate_task(loop):
    fargate, task = loop.setup.fargate, loop.task
    assert task["launchType"] == "FARGATE"
    assert task["clusterArn"].endswith(f"/{fargate['cluster']}")
    assert f"/{fargate['task_definition']}:" in task["taskDefinitionArn"]
    (attached,) = task["attachments"]
    details = {each["name"]: each["value"] for each in attached["details"]}
    assert details["subnetId"] in fargate["subnets"]
    interface = loop.setup.stack.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=[details["networkInterfaceId"]]
    )["NetworkInterfaces"][0]
    assert [group["GroupId"] for group in interface["Groups"]] == fargate["security_groups"]
    (override,) = task["overrides"]["containerOverrides"]
    key = run_key(NAME, loop.run["dag_run_id"])
    assert override["name"] == fargate["container"]
    assert override["command"] == ["homeostat", "train-step", NAME, "--run-key", key]
    environment = {each["name"]: each["value"] for each in override["environment"]}
    assert environment["HOMEOSTAT_STORE"] == loop.setup.stack.outputs["store"]
    assert environment["MLFLOW_TRACKING_URI"] == loop.setup.platform.mlflow_url
    assert "HOMEOSTAT_LEDGER" not in environment, "its password would be readable in the task"


def test_the_container_trains_the_version_that_becomes_champion(loop):
    assert loop.step.returncode == 0, loop.step.stdout + loop.step.stderr
    assert loop.run["state"] == "success", loop.setup.airflow_state()
    ports = loop.setup.ports
    champion = ports.ledger.read(NAME).champion
    assert champion.version == "2", loop.step.stdout
    assert ports.registry.aliases(NAME)["champion"] == "2"
    tags = ports.registry.version(NAME, "2").tags
    assert tags["homeostat.reason"] == loop.results[-1]["reason"] == "sustained_drift"
    assert tags["homeostat.gate"] == "passed"
    assert champion.digest in loop.step.stdout


def test_mlflow_has_the_functions_records_and_notifications_were_sent(loop):
    windows = loop.setup.ports.history.windows(NAME)
    assert [record.window_end for record in windows] == [
        loop.setup.now - ago * HOUR for ago in (5, 4, 3, 2, 1)
    ]
    assert [record.fired for record in windows] == [result["fired"] for result in loop.results]
    assert sum(loop.synced) == 5
    titles = loop.setup.receiver.titles
    assert titles.count("retraining has started") == 1
    assert any("champion" in title for title in titles), titles
