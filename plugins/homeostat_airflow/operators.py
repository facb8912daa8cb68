"""One operator per step of the loop. Each calls one flow and returns small, plain JSON.

What can pass (a service that does not answer) is raised as it is, and Airflow retries it. What cannot
(configuration, data, a refusal) fails the task at once: trying again would give the same answer.
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

    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports

logger = logging.getLogger(__name__)

#: What a person may answer about a version that waits for approval.
APPROVE, DECLINE = "Approve", "Decline"
#: What a check that fired tells the retrain.
EVENT = ("trigger_id", "window_end", "reason", "recall")


def drift_asset(model: str) -> Asset:
    """The asset whose event says: this model has gone stale."""
    return Asset(name=f"drift__{model}", uri=f"homeostat://{model}/drift", group="homeostat")


class FlowOperator(BaseOperator):
    """Runs one flow for one model."""

    operator_extra_links = (MLflowLink(),)
    ui_color = "#e8f0f7"

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Call the one flow that this operator stands for."""
        raise NotImplementedError

    def execute(self, context: Context) -> Any:
        """Run the flow; see the module about what is retried."""
        return self._run(self.flow, context)

    def _run(self, flow: Callable[[ModelConfig, Ports, Context], dict[str, Any]], context: Context) -> Any:
        from homeostat.adapters import build_ports
        from homeostat.config import Settings
        from homeostat_airflow.notifier import AirflowNotifier

        try:
            settings = Settings.from_env()
            config, ports = settings.load_model(self.model), build_ports(settings, notifier=AirflowNotifier())
            result = flow(config, ports, context)
        except Superseded as error:
            raise skipped(context, str(error)) from error
        except (Unavailable, StaleRevision):
            raise
        except HomeostatError as error:
            raise AirflowFailException(str(error)) from error
        level = logging.WARNING if result.get("silent") else logging.INFO
        self.log.log(level, "%s", result.get("sentence", result))
        self.after(config, ports)
        return result

    def after(self, config: ModelConfig, ports: Ports) -> None:
        """What follows a flow that went well; nothing, unless a kind of step says so."""


class CheckDriftOperator(FlowOperator):
    """Look at one window: contract, inputs, answers, performance; decide whether to retrain."""

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Check the window that ends at the ``window_end`` parameter, or at the run's own hour."""
        from homeostat.adapters import detector_history
        from homeostat.monitoring.detector_sync import take_back
        from homeostat.monitoring.drift_check import check_drift, window_end_of
        from homeostat.rollouts.alias_sync import mirror

        asked = context["params"].get("window_end") or None
        logical = context["dag_run"].logical_date
        mirror(config, ports)
        take_back(config, ports, detector_history(ports.store))
        return check_drift(config, ports, window_end_of(config, asked or logical or ports.clock.now()))


class TriggerRetrainOperator(FlowOperator):
    """Emit the drift asset's event when the check fired; skip, visibly, when it did not."""

    ui_color = "#fdf1dc"

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(model=model, outlets=[drift_asset(model)], **kwargs)

    def execute(self, context: Context) -> dict[str, Any]:
        """Pass the check's reason on to the retrain."""
        check = context["ti"].xcom_pull(task_ids="check")
        if not check["fired"]:
            raise skipped(context, check["sentence"])
        event = {name: check[name] for name in EVENT}
        context["outlet_events"][drift_asset(self.model)].extra = event
        return event


class CollectOperator(FlowOperator):
    """For a model that a function in AWS watches: tell it who serves, and take over what it has seen."""

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:  # noqa: ARG002  # no window
        """Collect; raises ConfigError when nobody here hears the function's triggers."""
        from homeostat.adapters import detector_history
        from homeostat.config import Settings
        from homeostat.monitoring.detector_sync import collect

        result = collect(config, ports, detector_history(ports.store))
        if not Settings.from_env().triggers:
            msg = (
                f"{config.name}: model.yaml says monitor.runs_on: lambda, but HOMEOSTAT_TRIGGERS is not set: "
                "nobody hears its triggers. Set it to the queue's URL for every process of Airflow "
                "(`terraform output -raw trigger_queue_url`), or write runs_on: airflow"
            )
            raise ConfigError(msg)
        return result


class RetrainOperator(FlowOperator):
    """A step of one retrain; the DAG run's id is the key that makes every step idempotent."""

    def after(self, config: ModelConfig, ports: Ports) -> None:
        """Any step may have changed who serves or who retrains: the function in AWS is told at once."""
        tell_detector(config, ports)

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Call the one flow that this operator stands for."""
        raise NotImplementedError

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Run the step under the DAG run's key."""
        return self.step(config, self.run_key(context), ports)

    def run_key(self, context: Context) -> str:
        """The key of this DAG run's retrain."""
        from homeostat.storage.retrain_request import run_key

        return run_key(self.model, context["dag_run"].run_id)


class AssembleOperator(RetrainOperator):
    """Take the right of way, read the rows, hold the data to its contract, write the snapshot."""

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Read the request from the drift event, or from the form when started by hand."""
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

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Fit once per run key."""
        from homeostat.retraining.train import train

        return train(config, run_key, ports)


class ValidateOperator(RetrainOperator):
    """Score candidate and champion on the same holdout."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Score both."""
        from homeostat.retraining.validate import validate

        return validate(config, run_key, ports)


class GateOperator(RetrainOperator):
    """Hold the candidate against the gate; refused is an answer, not a failure."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Judge and record."""
        from homeostat.retraining.gate import judge

        return judge(config, run_key, ports)


class RegisterOperator(RetrainOperator):
    """Make the candidate a version; skipped when the gate refused it."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Register once per run key."""
        from homeostat.retraining.gate import register

        return register(config, run_key, ports)


class RolloutOperator(RetrainOperator):
    """A stage of the rollout that the gateways carry out; waits without holding a worker."""

    leaves: tuple[str, ...] = ()

    def execute(self, context: Context) -> Any:
        """Begin or look, then wait in the triggerer for as long as the stage lasts."""
        result = super().execute(context)
        return self._wait_or_end(context, result)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Go on once the stage is over, or a person has answered."""
        if event.get("error"):
            msg = f"cannot follow the rollout: {event['error']}"
            raise AirflowFailException(msg)
        if event.get("chosen_options"):
            self._run(partial(self._heed, event=event), context)
        result = self._run(self._look, context)
        return self._wait_or_end(context, result)

    def _look(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        from homeostat.rollouts.advance import look

        return look(config, self.run_key(context), ports)

    def _heed(
        self, config: ModelConfig, ports: Ports, context: Context, *, event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Do what a person chose in Airflow, unless the rollout has gone on without them."""
        from homeostat.rollouts.advance import approve_by_hand, roll_back_in_ledger

        state = self._look(config, ports, context)
        by = f"{(event.get('responded_by_user') or {}).get('name') or 'somebody'} in Airflow"
        if state["phase"] != "waiting":
            self.log.warning("%s came too late: %s", by, state["sentence"])
        elif APPROVE in event["chosen_options"]:
            approve_by_hand(config, ports, by=by)
        else:
            now = ports.clock.now()
            roll_back_in_ledger(config.name, ports.ledger, reason=f"declined by {by}", by=by, at=now)
        return state

    def _wait_or_end(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        if result["phase"] in self.leaves:
            waiting = result["phase"] == "waiting"
            if waiting:
                self._ask(context, result)
            self.defer(
                trigger=RolloutTrigger(
                    model=self.model,
                    run_key=self.run_key(context),
                    phases=["waiting"] if waiting else [phase for phase in self.leaves if phase != "waiting"],
                ),
                method_name="resume",
            )
        if result["phase"] in ("rolled_back", "superseded"):
            self._run(self._settle, context)
            raise AirflowFailException(result["sentence"])
        return result

    def _ask(self, context: Context, result: dict[str, Any]) -> None:
        """Put the question on Airflow's page of required actions.

        Not by ApprovalOperator: that waits for its own answer only, while ``homeostat promote``, the
        gateway and its health checks may each end the rollout before anybody opens the page.
        """
        from airflow.sdk.execution_time.hitl import upsert_hitl_detail

        name = f"{self.model} version {result['version']}"
        try:
            upsert_hitl_detail(
                ti_id=context["ti"].id,
                options=[APPROVE, DECLINE],
                subject=f"May {name} become champion?",
                body=f"{result['sentence']}\n\n[{name} in MLflow]({result['url']})",
                params={},
            )
        except Exception:
            self.log.exception("Airflow's page cannot ask; homeostat promote %s approves as well", self.model)

    def _settle(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        from homeostat.rollouts.advance import settle

        return settle(config, self.run_key(context), ports)


class ShadowOperator(RolloutOperator):
    """The candidate answers the same inputs as the champion, unseen by clients."""

    leaves = ("registered", "shadow")

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Begin the rollout in the ledger; the gateways do the rest."""
        from homeostat.rollouts.advance import begin_rollout

        return begin_rollout(config, run_key, ports)


class CanaryOperator(RolloutOperator):
    """The candidate earns a growing share of the traffic, or is taken back."""

    leaves = ("canary", "waiting")

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Look at the ledger."""
        from homeostat.rollouts.advance import look

        return look(config, run_key, ports)


class PromoteOperator(RetrainOperator):
    """Mirror the ledger's decision into MLflow's aliases and tags, and tell people."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Settle the retrain."""
        from homeostat.rollouts.advance import settle

        return settle(config, run_key, ports)


def release_claim(context: Context) -> None:
    """Give the right of way back when a retrain fails; for ``on_failure_callback``."""
    from homeostat.adapters import build_ports, open_ledger
    from homeostat.config import Settings
    from homeostat.storage.retrain_request import run_key

    # Airflow promises these two alone to a DAG's callback; "dag_run" is missing from some contexts.
    model = context["dag"].dag_id.removeprefix("retrain__")
    settings = Settings.from_env()
    open_ledger(settings.ledger).release(model, run_key(model, context["run_id"]))
    tell_detector(settings.load_model(model), build_ports(settings))


def tell_detector(config: ModelConfig, ports: Ports) -> None:
    """Publish the state of a model that a function in AWS watches; a failure is made up for in an hour."""
    if config.monitor.runs_on != "lambda":
        return
    from homeostat.storage.model_state import publish

    try:
        publish(config, ports)
    except HomeostatError as error:
        logger.warning("the drift detector of %s hears of this within the hour: %s", config.name, error)


def skipped(context: Context, sentence: str) -> AirflowSkipException:
    """Leave the reason where a person looks: a skipped task shows its XComs, but no exception."""
    context["ti"].xcom_push(key="skipped", value=sentence)
    logger.info("skipped: %s", sentence)  # Airflow says so as well, in a part of the log that is folded
    return AirflowSkipException(sentence)


def _event(context: Context) -> dict[str, Any]:
    """What the check that fired said, in the newest drift event or the run's conf; {} when there was none."""
    events = [event for group in (context.get("triggering_asset_events") or {}).values() for event in group]
    if events:
        return dict(max(events, key=lambda event: event.timestamp).extra)
    conf = context["dag_run"].conf or {}
    return {name: conf.get(name, "") for name in EVENT} if conf.get("trigger_id") else {}
