"""The steps of ``retrain__<model>`` up to the registered version, and its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from homeostat.config.errors import HomeostatError
from homeostat_airflow.operators.base import HomeostatOperator
from homeostat_airflow.operators.trigger_event import trigger_event

if TYPE_CHECKING:
    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports

logger = logging.getLogger(__name__)


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
        )
        return assemble(config, request, ports)


class TrainOperator(RetrainOperator):
    """Fit the user's pipeline and write the bundle."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Fit once per run key."""
        from homeostat.retraining.train import train

        return train(config, run_key, ports)


class ValidateOperator(RetrainOperator):
    """Score candidate and champion on the same holdout."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Score both."""
        from homeostat.retraining.validate_on_holdout import validate

        return validate(config, run_key, ports)


class GateOperator(RetrainOperator):
    """Apply the gate checks to the candidate; a refusal is a result, not an error."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Decide and record."""
        from homeostat.retraining.gate import gate

        return gate(config, run_key, ports)


class RegisterOperator(RetrainOperator):
    """Register the candidate as a version; skipped when the gate refused it."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Register once per run key."""
        from homeostat.retraining.register import register

        return register(config, run_key, ports)


class PromoteOperator(RetrainOperator):
    """Sync MLflow's aliases and tags with the ledger, and notify."""

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Finalize the retrain."""
        from homeostat.rollouts.lifecycle import finalize

        return finalize(config, run_key, ports)


def release_lease(context: Context) -> None:
    """Release the lease when a retrain fails; for ``on_failure_callback``."""
    from homeostat.adapters import build_ports, open_ledger
    from homeostat.config import Settings
    from homeostat.storage.retrain_request import run_key

    # A DAG's callback always has these two in its context; "dag_run" is sometimes missing.
    model = context["dag"].dag_id.removeprefix("retrain__")
    settings = Settings.from_env()
    open_ledger(settings.ledger).release_lease(model, run_key(model, context["run_id"]))
    publish_model_state(settings.load_model(model), build_ports(settings))


def publish_model_state(config: ModelConfig, ports: Ports) -> None:
    """Publish the state of a model that the Lambda function checks; the hourly sync repeats a failed call."""
    if config.monitor.runs_on != "lambda":
        return
    from homeostat.storage.model_state import publish_state

    try:
        publish_state(config, ports)
    except HomeostatError as error:
        logger.warning("state of %s not published; the next hourly sync retries: %s", config.name, error)
