"""The train step on Fargate: ``homeostat train-step`` as an ECS task, waited for without holding a worker.

Imported only for models with ``training: {runs_on: ecs}``, whose DAG files pay for Amazon's provider.

What the task needs beyond its definition's own environment goes along with it. No secret does: whoever may
describe ECS tasks can read it. The ledger's address is one, so that the task may have none; what needs the
ledger, or tells people, is done here, before and after.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.links.logs import CloudWatchEventsLink
from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from airflow.sdk.exceptions import AirflowException

from homeostat.config.errors import ConfigError, HomeostatError
from homeostat_airflow.links import MLflowLink
from homeostat_airflow.operators import TrainOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from homeostat.config import ModelConfig, Settings
    from homeostat.config.fargate import Fargate
    from homeostat.ports import Ports

#: Seconds between two looks at the task.
LOOK = 15
#: Hours that it may take: a retrain's right of way ends at about the same time.
HOURS = 12
#: Lines of the container's log that a failure shows.
LINES = 10


class ContainerLogLink(CloudWatchEventsLink):
    """Opens the container's log in AWS's console."""

    name = "Container's log"
    key = "container_log"


class FargateTrainOperator(TrainOperator, EcsRunTaskOperator):
    """Fit in an ECS task; its result is that of the local step, read from the Store.

    A task that an earlier try has started is waited for instead of starting another one. What has a result
    already, and a recall, which fits nothing, start none at all.
    """

    operator_extra_links = (MLflowLink(), ContainerLogLink())
    template_fields = ()  # all is filled in when the step runs: a DAG file knows no cluster
    template_fields_renderers: Mapping[str, str] = {}
    ui_color = "#e8f0f7"

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(
            model=model,
            task_definition="",
            cluster="",
            overrides={},
            aws_conn_id=None,  # the credentials that the store's bucket is read with
            launch_type="FARGATE",
            deferrable=True,
            reattach=True,
            propagate_tags="TASK_DEFINITION",
            waiter_delay=LOOK,
            waiter_max_attempts=HOURS * 3600 // LOOK,
            number_logs_exception=LINES,
            **kwargs,
        )

    def execute(self, context: Context) -> Any:
        """Start the task, or find it again, and wait in the triggerer."""
        found = self._run(self._prepare, context)
        if "digest" in found:
            return found
        try:
            return EcsRunTaskOperator.execute(self, context)
        finally:  # it leaves by an exception, to wait
            if self.arn and self._aws_logs_enabled():
                self._link_to_log(context)

    def _link_to_log(self, context: Context) -> None:
        """Best effort: a link that cannot be made is no reason to start the step anew."""
        try:
            ContainerLogLink.persist(
                context=context,
                operator=self,
                region_name=self.hook.conn_region_name,
                aws_partition=self.hook.conn_partition,
                awslogs_region=self.hook.conn_region_name,
                awslogs_group=self.awslogs_group,
                awslogs_stream_name=self._get_logs_stream_name(),
            )
        except Exception as error:  # noqa: BLE001  # as above
            self.log.warning("no link to the container's log: %s", error)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """Take the result over, or say why there is none."""
        if not event or event.get("status") != "success":
            msg = f"cannot follow the task on ECS: {event}"
            raise AirflowException(msg)
        self.arn = event["task_arn"]
        return self._run(self._finish, context)

    def _prepare(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """The step's result, if nothing has to be fitted; otherwise fill in what the task is told."""
        from homeostat.config import Settings
        from homeostat.retraining.environment_check import note_champion
        from homeostat.retraining.remote_training import forget_failure
        from homeostat.retraining.train import train
        from homeostat.storage.retrain_request import find_result, load_request

        key = self.run_key(context)
        done = find_result(ports.store, config.name, key, "train")
        if done is not None:
            return done
        if load_request(ports.store, config.name, key).recall:
            return train(config, key, ports)
        settings = Settings.from_env()
        place = place_of(settings, config)
        self._aim(place)
        container = {
            "name": place.container,
            "command": ["homeostat", "train-step", config.name, "--run-key", key],
            "environment": [
                {"name": name, "value": value} for name, value in environment_of(settings, config).items()
            ],
        }
        self.overrides = {"containerOverrides": [container]}
        self.tags = {"homeostat:model": config.name, "homeostat:run_key": key}
        note_champion(config, key, ports)
        self._forget_failure = partial(forget_failure, ports.store, config.name, key)
        where = f"{place.task_definition} on {place.cluster}"
        return {"sentence": f"{config.name}, retrain {key}: sent to the task definition {where}"}

    def _finish(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """The result in the Store; without one, the error that says why, and whether to try again."""
        from homeostat.config import Settings
        from homeostat.retraining.remote_training import find_failure
        from homeostat.storage.retrain_request import find_result, load_result

        key = self.run_key(context)
        done = find_result(ports.store, config.name, key, "train")
        if done is not None:
            return done
        self._aim(place_of(Settings.from_env(), config))
        described = self.client.describe_tasks(cluster=self.cluster, tasks=[self.arn])["tasks"]
        ended = ended_how(described[0] if described else {}, self.container_name or "")
        failure = find_failure(ports.store, config.name, key)
        sentence = failure.sentence if failure else ended.sentence + self._last_lines()
        told = f"in the container: {sentence}" if failure else sentence
        if ended.may_pass:
            raise AirflowException(told)
        for targets, notice in failure.notices if failure else ():
            ports.notifier.notify(targets, notice)
        run_id = load_result(ports.store, config.name, key, "assemble")["run_id"]
        ports.registry.log(run_id, tags={"homeostat.failed": sentence[:4000]})
        ports.registry.end_run(run_id, "FAILED")
        ports.ledger.release(config.name, key)
        raise HomeostatError(told)

    def _aim(self, place: Fargate) -> None:
        self.cluster, self.task_definition = place.cluster, place.task_definition
        self.container_name = place.container
        self.network_configuration = {
            "awsvpcConfiguration": {
                "subnets": list(place.subnets),
                "securityGroups": list(place.security_groups),
                "assignPublicIp": "DISABLED",
            }
        }
        if place.log_group:  # infra/terraform has streams begin with the container's name
            self.awslogs_group, self.awslogs_stream_prefix = place.log_group, place.container

    def _start_task(self) -> None:
        self._forget_failure()  # and not where a task is found again, which may have said something by now
        super()._start_task()

    def _last_lines(self) -> str:
        """The end of the container's log, where there is one and it can be read."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._aws_logs_enabled():
            return ""
        stream = self._get_logs_stream_name()
        try:
            logs = AwsLogsHook(
                aws_conn_id=self.aws_conn_id,
                region_name=self.resolve_awslogs_region(),
                verify=self.verify,
                config=self.botocore_config,
            )
            found = logs.conn.get_log_events(
                logGroupName=self.awslogs_group, logStreamName=stream, startFromHead=False, limit=LINES
            )
        except (BotoCoreError, ClientError) as error:
            self.log.warning("the container's log cannot be read: %s", error)
            return ""
        lines = "\n".join(event["message"] for event in found["events"])
        return f"\nIts last lines, of {stream} in {self.awslogs_group}:\n{lines}" if lines else ""


def place_of(settings: Settings, config: ModelConfig) -> Fargate:
    """Where the task runs; ConfigError when this installation does not say, or the task could not read."""
    said = f"{config.name}: model.yaml says training.runs_on: ecs"
    if settings.ecs is None:
        msg = (
            f"{said}, but HOMEOSTAT_ECS is not set: set it for every process of Airflow "
            "(`terraform output -json airflow_environment`), or write runs_on: airflow"
        )
        raise ConfigError(msg)
    if not settings.store.startswith("s3://"):
        msg = (
            f"{said}, but HOMEOSTAT_STORE is {settings.store}, which no task on ECS can reach: "
            "set it to s3://bucket/prefix (`terraform output -raw store`)"
        )
        raise ConfigError(msg)
    return settings.ecs


def environment_of(settings: Settings, config: ModelConfig) -> dict[str, str]:
    """What the task has to be told beyond its definition: nothing that must not be read by others.

    MLflow's address is left out where it holds a password, or where Airflow has none of its own: the task
    definition's stands then.
    """
    from homeostat.bundle.environment import UNKNOWN, git_revision
    from homeostat.config.redaction import without_userinfo
    from homeostat.retraining.remote_training import EXPECTED_CODE, code_digest

    told = {"HOMEOSTAT_STORE": settings.store, EXPECTED_CODE: code_digest(config)}
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking and without_userinfo(tracking) == tracking:
        told["MLFLOW_TRACKING_URI"] = tracking
    revision = os.environ.get("HOMEOSTAT_GIT_REVISION") or git_revision(config.folder)
    if revision != UNKNOWN:
        told["HOMEOSTAT_GIT_REVISION"] = revision
    return told


@dataclass(frozen=True, slots=True)
class Ended:
    """How a task ended, and whether another try may do better."""

    sentence: str
    may_pass: bool


def ended_how(task: Mapping[str, Any], container: str) -> Ended:
    """Read it from ECS's description of a stopped task; {} where ECS has forgotten it.

    What never ran, or was killed, may pass: no image could be pulled, no capacity, a host that went away.
    What ended by itself says so by its exit status, see ``homeostat train-step --help``. Memory that was not
    enough will not be enough the next time either.
    """
    from homeostat.retraining.remote_training import DONE, FAILED

    known = [each for each in task.get("containers", ()) if each.get("name") == container]
    mine = known[0] if known else {}
    status, own = mine.get("exitCode"), mine.get("reason", "")
    why = ". ".join(part.rstrip(".") for part in (task.get("stoppedReason", ""), own) if part)
    because = f": {why}" if why else ""
    if not task:
        return Ended("ECS no longer knows the task, and it left no result", may_pass=True)
    if "OutOfMemory" in own:
        cure = "give the task definition more memory, or the model a shorter training.window"
        return Ended(f"the container needed more memory than its task has{because}; {cure}", may_pass=False)
    if status is None:
        return Ended(f"the container did not run{because}", may_pass=True)
    if status == DONE:
        msg = "the task ended well, but its result is not in this store: is its HOMEOSTAT_STORE another one?"
        return Ended(msg, may_pass=False)
    # 2 is how a program says that it does not know its arguments: an image that is too old.
    return Ended(f"the container ended with status {status}{because}", may_pass=status not in (FAILED, 2))
