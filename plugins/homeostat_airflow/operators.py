"""One operator per step of the loop. Each runs one step for one model and returns small, plain JSON.

Temporary errors (a service that does not respond) are raised unchanged, and Airflow retries the task.
Permanent ones (configuration, data, a refusal) fail the task at once: a retry would give the same result.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from homeostat.config.errors import ConfigError, HomeostatError, StaleRevision, Superseded, Unavailable
from homeostat_airflow.links import MLflowLink
from homeostat_airflow.rollout_trigger import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import BaseOperatorLink, Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports

logger = logging.getLogger(__name__)

#: The two responses to a request for approval.
APPROVE, DECLINE = "Approve", "Decline"
#: Fields of a fired drift check that the retrain needs.
TRIGGER_FIELDS = ("trigger_id", "window_end", "reason", "reinstate")


def drift_asset(model: str) -> Asset:
    """Return the asset whose events start the model's retrain."""
    return Asset(name=f"drift__{model}", uri=f"homeostat://{model}/drift", group="homeostat")


class HomeostatOperator(BaseOperator):
    """Runs one step for one model."""

    operator_extra_links: tuple[BaseOperatorLink, ...] = (MLflowLink(),)
    ui_color = "#e8f0f7"

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Run the step of this operator."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Run the step; see the module's docstring for what is retried."""
        return self._run(self.perform, context)

    def _run(self, step: Callable[[ModelConfig, Ports, Context], dict[str, Any]], context: Context) -> Any:
        from homeostat.adapters import build_ports
        from homeostat.config import Settings
        from homeostat_airflow.notifier import AirflowNotifier

        try:
            settings = Settings.from_env()
            config, ports = settings.load_model(self.model), build_ports(settings, notifier=AirflowNotifier())
            result = step(config, ports, context)
        except Superseded as error:
            raise skip(context, str(error)) from error
        except (Unavailable, StaleRevision):
            raise
        except HomeostatError as error:
            raise AirflowFailException(str(error)) from error
        level = logging.WARNING if result.get("checks_stopped") else logging.INFO
        self.log.log(level, "%s", result.get("sentence", result))
        self.after(config, ports)
        return result

    def after(self, config: ModelConfig, ports: Ports) -> None:
        """Run after a successful step; does nothing by default."""


class CheckDriftOperator(HomeostatOperator):
    """Check one window: schema, inputs, predictions, performance; decide whether to retrain."""

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Check the window that ends at the ``window_end`` parameter, or at the run's logical date."""
        from homeostat.adapters import open_store_history
        from homeostat.monitoring.drift_check import check_drift, window_end_of
        from homeostat.monitoring.reclaim_checks import reclaim_checks
        from homeostat.rollouts.alias_sync import sync_aliases

        requested = context["params"].get("window_end") or None
        logical = context["dag_run"].logical_date
        sync_aliases(config, ports)
        reclaim_checks(config, ports, open_store_history(ports.store))
        return check_drift(config, ports, window_end_of(config, requested or logical or ports.clock.now()))


class TriggerRetrainOperator(HomeostatOperator):
    """Emit the drift asset's event when the check fired; otherwise skip with the reason."""

    ui_color = "#fdf1dc"

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(model=model, outlets=[drift_asset(model)], **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Pass the check's reason to the retrain."""
        check = context["ti"].xcom_pull(task_ids="check")
        if not check["fired"]:
            raise skip(context, check["sentence"])
        event = _trigger_fields(check)
        context["outlet_events"][drift_asset(self.model)].extra = event
        return event


class SyncDetectorOperator(HomeostatOperator):
    """For a model checked by the Lambda function: publish its state and import the function's checks."""

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:  # noqa: ARG002  # no window
        """Synchronise both ways; ConfigError when HOMEOSTAT_TRIGGERS is missing: triggers would be lost."""
        from homeostat.adapters import open_store_history
        from homeostat.config import Settings
        from homeostat.monitoring.detector_sync import sync_detector

        result = sync_detector(config, ports, open_store_history(ports.store))
        if not Settings.from_env().triggers:
            msg = (
                f"{config.name}: model.yaml has monitor.runs_on: lambda, but HOMEOSTAT_TRIGGERS is not set: "
                "Airflow does not receive its retrain triggers. Set it to the queue's URL for every Airflow "
                "process (`terraform output -raw trigger_queue_url`), or set monitor.runs_on: airflow"
            )
            raise ConfigError(msg)
        return result


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
            event=_event(context),
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
        from homeostat.retraining.validate import validate

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


class RolloutOperator(RetrainOperator):
    """A stage of the rollout, carried out by the gateways; waits in the triggerer, not on a worker."""

    pending_phases: tuple[str, ...] = ()

    def execute(self, context: Context) -> Any:
        """Start or check the stage, then defer until it ends."""
        result = super().execute(context)
        return self._wait_or_end(context, result)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Continue when the stage has ended or a person has responded.

        The name is stored with a deferred task: keep it.
        """
        if event.get("error"):
            msg = f"cannot follow the rollout: {event['error']}"
            raise AirflowFailException(msg)
        if event.get("chosen_options"):
            self._run(partial(self._apply_response, event=event), context)
        result = self._run(self._rollout_status, context)
        return self._wait_or_end(context, result)

    def _rollout_status(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        from homeostat.rollouts.lifecycle import rollout_status

        return rollout_status(config, self.run_key(context), ports)

    def _apply_response(
        self, config: ModelConfig, ports: Ports, context: Context, *, event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Apply the response from Airflow's required actions, unless the rollout is past waiting."""
        from homeostat.rollouts.manual import manual_approve, manual_rollback

        state = self._rollout_status(config, ports, context)
        by = f"{(event.get('responded_by_user') or {}).get('name') or 'a user'} in Airflow"
        if state["phase"] != "waiting":
            self.log.warning("the response of %s is too late: %s", by, state["sentence"])
        elif APPROVE in event["chosen_options"]:
            manual_approve(config, ports, by=by)
        else:
            now = ports.clock.now()
            manual_rollback(config.name, ports.ledger, reason=f"declined by {by}", by=by, at=now)
        return state

    def _wait_or_end(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        if result["phase"] in self.pending_phases:
            waiting = result["phase"] == "waiting"
            if waiting:
                self._request_approval(context, result)
            self.defer(
                trigger=RolloutTrigger(
                    model=self.model,
                    run_key=self.run_key(context),
                    phases=["waiting"]
                    if waiting
                    else [phase for phase in self.pending_phases if phase != "waiting"],
                ),
                method_name="resume",
            )
        if result["phase"] in ("rolled_back", "superseded"):
            self._run(self._finalize, context)
            raise AirflowFailException(result["sentence"])
        return result

    def _request_approval(self, context: Context, result: dict[str, Any]) -> None:
        """Request approval on Airflow's page of required actions.

        Not by ApprovalOperator: it waits for its own response only, while ``homeostat promote``, the
        gateway and its health checks can each end the rollout first.
        """
        from airflow.sdk.execution_time.hitl import upsert_hitl_detail

        name = f"{self.model} version {result['version']}"
        try:
            upsert_hitl_detail(
                ti_id=context["ti"].id,
                options=[APPROVE, DECLINE],
                subject=f"Promote {name} to champion?",
                body=f"{result['sentence']}\n\n[{name} in MLflow]({result['url']})",
                params={},
            )
        except Exception:
            self.log.exception(
                "No required action in Airflow: approve with `homeostat promote %s`", self.model
            )

    def _finalize(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        from homeostat.rollouts.lifecycle import finalize

        return finalize(config, self.run_key(context), ports)


class ShadowOperator(RolloutOperator):
    """The candidate predicts the same inputs as the champion; clients do not see its predictions."""

    pending_phases = ("registered", "shadow")

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Write the rollout to the ledger; the gateways carry it out."""
        from homeostat.rollouts.lifecycle import begin_rollout

        return begin_rollout(config, run_key, ports)


class CanaryOperator(RolloutOperator):
    """The candidate gets a growing share of the traffic, or is rolled back."""

    pending_phases = ("canary", "waiting")

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Read the rollout's status from the ledger."""
        from homeostat.rollouts.lifecycle import rollout_status

        return rollout_status(config, run_key, ports)


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


def skip(context: Context, sentence: str) -> AirflowSkipException:
    """Return the exception that skips the task; the reason goes to XCom, which a skipped task shows."""
    context["ti"].xcom_push(key="skipped", value=sentence)
    logger.info("skipped: %s", sentence)  # Airflow logs it too, in a collapsed section
    return AirflowSkipException(sentence)


def _event(context: Context) -> dict[str, Any]:
    """Return the fired check from the newest drift event or the run's conf; {} without one."""
    events = [event for group in (context.get("triggering_asset_events") or {}).values() for event in group]
    if events:
        return dict(max(events, key=lambda event: event.timestamp).extra)
    conf = context["dag_run"].conf or {}
    return _trigger_fields(conf) if conf.get("trigger_id") else {}


def _trigger_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the retrain needs of a check's result or a run's conf; release 0.1 may have written it."""
    from homeostat.storage.retrain_request import with_new_names

    found = with_new_names(raw)
    return {name: found.get(name, "") for name in TRIGGER_FIELDS}
