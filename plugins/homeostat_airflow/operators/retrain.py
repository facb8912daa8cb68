"""The steps of ``retrain__<model>`` up to the registered version, and its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import HomeostatError
from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings
from homeostat_airflow.operators.base import HomeostatOperator, leave_for_note, skip, with_delivery
from homeostat_airflow.operators.run_link import run_page, run_url
from homeostat_airflow.operators.trigger_event import trigger_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from homeostat.config import ModelConfig, Settings
    from homeostat.ports import Ports

logger = logging.getLogger(__name__)

#: The task that decided, by the stage of a retrain's outcome.
_DECIDED = {
    "environment": "train",
    "probe": "train",
    "gate": "gate",
    "load": "shadow",
    "shadow": "shadow",
    "canary": "canary",
    "approval": "canary",
}


class RetrainOperator(HomeostatOperator):
    """A step of one retrain; the DAG run's id is the key that makes each step idempotent."""

    def after(self, config: ModelConfig, ports: Ports) -> None:
        """Publish the model's state: a step may change what is served or whether a retrain runs."""
        publish_model_state(config, ports)

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Run the step of this operator."""
        raise NotImplementedError

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Run the step under the DAG run's key."""
        return self.retrain_step(config, self.run_key(context), ports)

    def run_key(self, context: Context) -> str:
        """Return the key of this DAG run's retrain."""
        from homeostat.storage.retrain_request import run_key

        return run_key(self.model, context["dag_run"].run_id)

    def failure_note(self, text: str) -> tuple[str, str]:
        """See :meth:`HomeostatOperator.failure_note`."""
        return "Retrain failed", f"{self.model}: the retrain failed at {self.task_id}: {text}"


class AssembleOperator(RetrainOperator):
    """Acquire the lease, read the rows, check them against the schema, write the snapshot."""

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Build the request from the drift event, or from the form of a manual run."""
        from homeostat.retraining.assemble import assemble
        from homeostat.storage.retrain_request import RetrainRequest

        dag_run = context["dag_run"]
        request = RetrainRequest.of(
            run_key=self.run_key(context),
            dag_run=dag_run.run_id,
            params=context["params"],
            event=trigger_event(context),
            airflow_url=run_url(context),
            airflow_page=run_page(context),
        )
        return assemble(config, request, ports)

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        return f"{result['rows']} rows to train on, {result['holdout']} held out"


class TrainOperator(RetrainOperator):
    """Fit the user's pipeline and write the bundle."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Fit once per run key."""
        from homeostat.retraining.train import train

        return train(config, run_key, ports)

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        if result.get("refusal"):
            return f"refused: {result['refusal']['stage']}"
        return f"fitted on {result['rows']} rows" if result.get("trained") else "nothing was fitted"


class ValidateOperator(RetrainOperator):
    """Score candidate and champion on the same holdout."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Score both."""
        from homeostat.retraining.validate_on_holdout import validate

        return validate(config, run_key, ports)

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        score = result.get("score")
        return f"{result['metric']} {score:.4g}" if score is not None else "no score"


class RegisterOperator(RetrainOperator):
    """Register the candidate as a version; skipped when the gate refused it."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Register once per run key."""
        from homeostat.retraining.register import register

        return register(config, run_key, ports)

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        return f"version {result['version']}"


class PromoteOperator(RetrainOperator):
    """The end of every retrain: record its outcome, sync MLflow with the ledger, and notify.

    Succeeds when the version is champion, and is skipped with the outcome's sentence when the candidate was
    refused or superseded. Runs also after skipped steps, but not after a failed one.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"trigger_rule": "none_failed", **kwargs})

    def execute(self, context: Context) -> Any:
        """Finalize the retrain."""
        result = super().execute(context)
        if result["outcome"]:  # "" when a person marked a task as done while the rollout goes on
            task = _DECIDED.get(result["stage"], "") if result["outcome"] != "promoted" else ""
            leave_for_note(context, result["outcome"], result["sentence"], task=task)
        if result.get("phase") != "champion":  # refused, superseded, or rolled back again already
            raise skip(context, result["sentence"], logged=True)
        return result

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        return str(result["outcome"]).replace("_", " ")

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Finalize the retrain."""
        from homeostat.rollouts.lifecycle import finalize

        return finalize(config, run_key, ports)


class ReleaseLease:
    """Releases the lease when a retrain fails, and records that it failed; for ``on_failure_callback``.

    Parameters
    ----------
    model, models, homeostat_conn_id
        See :class:`~homeostat_airflow.operators.HomeostatOperator`.
    """

    def __init__(self, model: str, models: str = "", homeostat_conn_id: str = DEFAULT_CONN_ID) -> None:
        self.model = model
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def __call__(self, context: Context) -> None:
        """Release and record."""
        _release_lease(self.model, context, read_settings(self.homeostat_conn_id, self.models))


def _release_lease(model: str, context: Context, settings: Settings) -> None:
    from homeostat.adapters import build_ports, open_ledger
    from homeostat.rollouts.refusal_notice import notify_failed
    from homeostat.storage.retrain_outcome import Outcome, RetrainOutcome, find_outcome, record_outcome
    from homeostat.storage.retrain_request import run_key

    key = run_key(model, context["run_id"])  # "dag_run" is sometimes missing in a callback's context
    open_ledger(settings.ledger).release_lease(model, key)
    config = settings.load_model(model)
    ports = with_delivery(build_ports(settings, service="homeostat-airflow"), config)
    publish_model_state(config, ports)
    if find_outcome(ports.store, model, key) is None:  # a service was away, or the error is a bug
        sentence = f"{model}: the retrain failed; see the task's log of {context['run_id']} in Airflow"
        record_outcome(ports, model, key, Outcome(RetrainOutcome.FAILED, "airflow", sentence))
        if ports.tracer is not None:
            ports.tracer.flush()
    notify_failed(config, ports, key)


def publish_model_state(config: ModelConfig, ports: Ports) -> None:
    """Publish the state of a model that the Lambda function checks; the hourly sync repeats a failed call."""
    if config.monitor.runs_on != "lambda":
        return
    from homeostat.storage.model_state import publish_state

    try:
        publish_state(config, ports)
    except HomeostatError as error:
        logger.warning("state of %s not published; the next hourly sync retries: %s", config.name, error)
