"""The train step on Fargate: ``homeostat train-step`` as an ECS task; the operator defers while it runs.

Imported only for models with ``training: {runs_on: ecs}``: the import of Amazon's provider is slow.

The task gets its environment from the task definition and from container overrides. Overrides hold no secret:
everyone who may describe ECS tasks can read them. The ledger's URL is a secret, so the task has no ledger;
steps that need the ledger or send notifications run here, before and after the task.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.hooks.logs import AwsLogsHook
from airflow.providers.amazon.aws.links.logs import CloudWatchEventsLink
from airflow.providers.amazon.aws.operators.ecs import EcsRunTaskOperator
from airflow.sdk.exceptions import AirflowException

from homeostat.config.errors import ConfigError, HomeostatError
from homeostat_airflow.links import HealthLink, MLflowLink
from homeostat_airflow.operators import TrainOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from homeostat.config import ModelConfig, Settings
    from homeostat.config.fargate import Fargate
    from homeostat.ports import Ports

#: Seconds between two polls of the task.
POLL = 15
#: Time limit in hours; the retrain lease ends at about the same time.
HOURS = 12
#: Lines of the container's log shown on failure.
LINES = 10


class ContainerLogLink(CloudWatchEventsLink):
    """Opens the container's log in AWS's console."""

    name = "Container's log"
    key = "container_log"


class FargateTrainOperator(TrainOperator, EcsRunTaskOperator):
    """Fit in an ECS task; its result is that of the local step, read from the Store.

    A task that an earlier try has started is waited for instead of starting another one. What has a result
    already, and a reinstatement, which fits nothing, start none at all.
    """

    operator_extra_links = (MLflowLink(), HealthLink(), ContainerLogLink())
    template_fields = ()  # filled in at run time: a DAG file does not know the cluster
    template_fields_renderers: ClassVar[dict[str, str]] = {}
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
            waiter_delay=POLL,
            waiter_max_attempts=HOURS * 3600 // POLL,
            number_logs_exception=LINES,
            **kwargs,
        )

    def execute(self, context: Context) -> Any:
        """Start the task, or find a running one, and defer."""
        found = self._run(self._prepare, context)
        if "digest" in found:
            return found
        try:
            return EcsRunTaskOperator.execute(self, context)
        finally:  # deferring raises
            if self.arn and self._aws_logs_enabled():
                self._link_to_log(context)

    def _link_to_log(self, context: Context) -> None:
        """Save the link to the log; a failure is logged and does not fail the step."""
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
        """Return the result, or raise with the reason why there is none."""
        if not event or event.get("status") != "success":
            msg = f"cannot follow the task on ECS: {event}"
            raise AirflowException(msg)
        self.arn = event["task_arn"]
        return self._run(self._finish, context)

    def _prepare(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Return the step's result if nothing has to be fitted; otherwise fill in the ECS call."""
        from homeostat.retraining.environment_check import save_champion
        from homeostat.retraining.remote_training import clear_failure
        from homeostat.retraining.train import train
        from homeostat.storage.retrain_request import load_request
        from homeostat.storage.step_results import find_result

        key = self.run_key(context)
        done = find_result(ports.store, config.name, key, "train")
        if done is not None:
            return done
        if load_request(ports.store, config.name, key).reinstate:
            return train(config, key, ports)
        settings = self.read_settings()
        task_settings = ecs_settings(settings, config)
        self._apply_settings(task_settings)
        container = {
            "name": task_settings.container,
            "command": ["homeostat", "train-step", config.name, "--run-key", key],
            "environment": [
                {"name": name, "value": value} for name, value in environment_of(settings, config).items()
            ],
        }
        self.overrides = {"containerOverrides": [container]}
        self.tags = {"homeostat:model": config.name, "homeostat:run_key": key}
        save_champion(config, key, ports)
        self._clear_failure = partial(clear_failure, ports.store, config.name, key)
        where = f"{task_settings.task_definition} on {task_settings.cluster}"
        return {"sentence": f"{config.name}, retrain {key}: sent to the task definition {where}"}

    def _finish(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Return the result from the Store; without one, raise an error that is retried or not."""
        from homeostat.retraining.remote_training import find_failure
        from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, record_outcome
        from homeostat.storage.step_results import find_result, load_result

        key = self.run_key(context)
        done = find_result(ports.store, config.name, key, "train")
        if done is not None:
            return done
        self._apply_settings(ecs_settings(self.read_settings(), config))
        client: Any = self.client
        described = client.describe_tasks(cluster=self.cluster, tasks=[self.arn])["tasks"]
        ended = task_end(described[0] if described else {}, self.container_name or "")
        failure = find_failure(ports.store, config.name, key)
        sentence = failure.sentence if failure else ended.sentence + self._last_lines()
        message = f"in the container: {sentence}" if failure else sentence
        if ended.retryable:
            raise AirflowException(message)
        for targets, notice in failure.notices if failure else ():
            ports.notifier.notify(targets, notice)
        run_id = load_result(ports.store, config.name, key, "assemble")["run_id"]
        ports.registry.log(run_id, tags={"homeostat.error": sentence[:4000]})
        failed = f"{config.name}: the retrain failed at train: {message}"
        record_outcome(ports, config.name, key, Outcome(RetrainOutcome.FAILED, "train", failed))
        ports.registry.end_run(run_id, "FAILED")
        ports.ledger.release_lease(config.name, key)
        raise HomeostatError(message)

    def _apply_settings(self, task_settings: Fargate) -> None:
        self.cluster, self.task_definition = task_settings.cluster, task_settings.task_definition
        self.container_name = task_settings.container
        self.network_configuration = {
            "awsvpcConfiguration": {
                "subnets": list(task_settings.subnets),
                "securityGroups": list(task_settings.security_groups),
                "assignPublicIp": "DISABLED",
            }
        }
        if task_settings.log_group:  # infra/terraform prefixes log streams with the container's name
            self.awslogs_group, self.awslogs_stream_prefix = task_settings.log_group, task_settings.container

    def _start_task(self) -> None:
        self._clear_failure()  # a task found again keeps its recorded failure
        super()._start_task()

    def _last_lines(self) -> str:
        """Return the end of the container's log; empty when it cannot be read."""
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
            client: Any = logs.conn
            found = client.get_log_events(
                logGroupName=self.awslogs_group, logStreamName=stream, startFromHead=False, limit=LINES
            )
        except (BotoCoreError, ClientError) as error:
            self.log.warning("the container's log cannot be read: %s", error)
            return ""
        lines = "\n".join(event["message"] for event in found["events"])
        return f"\nIts last lines, of {stream} in {self.awslogs_group}:\n{lines}" if lines else ""


def ecs_settings(settings: Settings, config: ModelConfig) -> Fargate:
    """Return the ECS settings; ConfigError when they are missing or the task cannot reach the Store."""
    setting = f"{config.name}: model.yaml has training.runs_on: ecs"
    if settings.ecs is None:
        msg = (
            f"{setting}, but HOMEOSTAT_ECS is not set: set it for every Airflow process "
            "(`terraform output -json airflow_environment`), or set training.runs_on: airflow"
        )
        raise ConfigError(msg)
    if not settings.store.startswith("s3://"):
        msg = (
            f"{setting}, but HOMEOSTAT_STORE is {settings.store}, which an ECS task cannot reach: "
            "set it to s3://bucket/prefix (`terraform output -raw store`)"
        )
        raise ConfigError(msg)
    return settings.ecs


def environment_of(settings: Settings, config: ModelConfig) -> dict[str, str]:
    """Return the task's environment overrides; they hold no secret.

    MLFLOW_TRACKING_URI is left out when it holds a password or is not set here: the task definition's value
    applies then.
    """
    from homeostat.bundle.environment import UNKNOWN, git_revision
    from homeostat.config.redaction import redact_userinfo
    from homeostat.retraining.remote_training import EXPECTED_CODE, code_digest

    overrides = {"HOMEOSTAT_STORE": settings.store, EXPECTED_CODE: code_digest(config)}
    tracking = os.environ.get("MLFLOW_TRACKING_URI", "")
    if tracking and redact_userinfo(tracking) == tracking:
        overrides["MLFLOW_TRACKING_URI"] = tracking
    if settings.mlflow_public_url:
        overrides["HOMEOSTAT_MLFLOW_PUBLIC_URL"] = settings.mlflow_public_url
    revision = os.environ.get("HOMEOSTAT_GIT_REVISION") or git_revision(config.folder)
    if revision != UNKNOWN:
        overrides["HOMEOSTAT_GIT_REVISION"] = revision
    return overrides


@dataclass(frozen=True, slots=True)
class TaskEnd:
    """How a task ended, and whether a retry can help."""

    sentence: str
    retryable: bool


def task_end(task: Mapping[str, Any], container: str) -> TaskEnd:
    """Read the end from ECS's description of a stopped task; {} when ECS no longer knows it.

    Retryable: a task that never ran or was killed (image pull, capacity, lost host). A container that ended
    by itself reports by its exit status, see ``homeostat train-step --help``. Out of memory is not retryable.
    """
    from homeostat.retraining.remote_training import DONE, FAILED

    known = [each for each in task.get("containers", ()) if each.get("name") == container]
    mine = known[0] if known else {}
    status, own = mine.get("exitCode"), mine.get("reason", "")
    why = ". ".join(part.rstrip(".") for part in (task.get("stoppedReason", ""), own) if part)
    because = f": {why}" if why else ""
    if not task:
        return TaskEnd("ECS no longer knows the task, and it left no result", retryable=True)
    if "OutOfMemory" in own:
        remedy = "give the task definition more memory, or set a shorter training.window"
        return TaskEnd(
            f"the container needed more memory than its task has{because}; {remedy}", retryable=False
        )
    if status is None:
        return TaskEnd(f"the container did not run{because}", retryable=True)
    if status == DONE:
        msg = (
            "the task succeeded, but its result is not in this store: compare HOMEOSTAT_STORE there and here"
        )
        return TaskEnd(msg, retryable=False)
    # Status 2 means unknown arguments: the image is too old.
    return TaskEnd(f"the container ended with status {status}{because}", retryable=status not in (FAILED, 2))
