"""One operator per step of the loop. Each calls one flow and returns small, plain JSON.

What can pass (a service that does not answer) is raised as it is, and Airflow retries it. What cannot
(configuration, data, a refusal) fails the task at once: trying again would give the same answer.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from homeostat.config.errors import HomeostatError, StaleRevision, Superseded, Unavailable
from homeostat_airflow.links import MLflowLink
from homeostat_airflow.triggers import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports


#: What a person may answer about a version that waits for approval.
APPROVE, DECLINE = "Approve", "Decline"


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
        from homeostat_airflow.notices import AirflowNotifier

        try:
            settings = Settings.from_env()
            config = settings.load_model(self.model)
            result = flow(config, build_ports(settings, notifier=AirflowNotifier()), context)
        except Superseded as error:
            raise _skipped(context, str(error)) from error
        except (Unavailable, StaleRevision):
            raise
        except HomeostatError as error:
            raise AirflowFailException(str(error)) from error
        self.log.info("%s", result.get("sentence", result))
        return result


class CheckDriftOperator(FlowOperator):
    """Look at one window: contract, inputs, answers, performance; decide whether to retrain."""

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Check the window that ends at the ``window_end`` parameter, or at the run's own hour."""
        from homeostat.flows import check_drift, mirror, window_end_of

        asked = context["params"].get("window_end") or None
        logical = context["dag_run"].logical_date
        mirror(config, ports)
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
            raise _skipped(context, check["sentence"])
        event = {name: check[name] for name in ("trigger_id", "window_end", "reason", "recall")}
        context["outlet_events"][drift_asset(self.model)].extra = event
        return event


class RetrainOperator(FlowOperator):
    """A step of one retrain; the DAG run's id is the key that makes every step idempotent."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Call the one flow that this operator stands for."""
        raise NotImplementedError

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Run the step under the DAG run's key."""
        return self.step(config, self.run_key(context), ports)

    def run_key(self, context: Context) -> str:
        """The key of this DAG run's retrain."""
        from homeostat.flows import run_key

        return run_key(self.model, context["dag_run"].run_id)


class AssembleOperator(RetrainOperator):
    """Take the right of way, read the rows, hold the data to its contract, write the snapshot."""

    def flow(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        """Read the request from the drift event, or from the form when started by hand."""
        from homeostat import flows

        dag_run = context["dag_run"]
        request = flows.RetrainRequest.of(
            run_key=self.run_key(context),
            dag_run=dag_run.run_id,
            params=context["params"],
            event=_event(context),
        )
        return flows.assemble(config, request, ports)


class TrainOperator(RetrainOperator):
    """Fit the user's pipeline and write the bundle."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Fit once per run key."""
        from homeostat import flows

        return flows.train(config, run_key, ports)


class ValidateOperator(RetrainOperator):
    """Score candidate and champion on the same holdout."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Score both."""
        from homeostat import flows

        return flows.validate(config, run_key, ports)


class GateOperator(RetrainOperator):
    """Hold the candidate against the gate; refused is an answer, not a failure."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Judge and record."""
        from homeostat import flows

        return flows.judge(config, run_key, ports)


class RegisterOperator(RetrainOperator):
    """Make the candidate a version; skipped when the gate refused it."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Register once per run key."""
        from homeostat import flows

        return flows.register(config, run_key, ports)


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
        from homeostat import flows

        return flows.look(config, self.run_key(context), ports)

    def _heed(
        self, config: ModelConfig, ports: Ports, context: Context, *, event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Do what a person chose in Airflow, unless the rollout has gone on without them."""
        from homeostat import flows

        state = self._look(config, ports, context)
        by = f"{(event.get('responded_by_user') or {}).get('name') or 'somebody'} in Airflow"
        if state["phase"] != "waiting":
            self.log.warning("%s came too late: %s", by, state["sentence"])
        elif APPROVE in event["chosen_options"]:
            flows.approve_by_hand(config, ports, by=by)
        else:
            now = ports.clock.now()
            flows.roll_back_in_ledger(config.name, ports.ledger, reason=f"declined by {by}", by=by, at=now)
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
        from homeostat import flows

        return flows.settle(config, self.run_key(context), ports)


class ShadowOperator(RolloutOperator):
    """The candidate answers the same inputs as the champion, unseen by clients."""

    leaves = ("registered", "shadow")

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Begin the rollout in the ledger; the gateways do the rest."""
        from homeostat import flows

        return flows.begin_rollout(config, run_key, ports)


class CanaryOperator(RolloutOperator):
    """The candidate earns a growing share of the traffic, or is taken back."""

    leaves = ("canary", "waiting")

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Look at the ledger."""
        from homeostat import flows

        return flows.look(config, run_key, ports)


class PromoteOperator(RetrainOperator):
    """Mirror the ledger's decision into MLflow's aliases and tags, and tell people."""

    def step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Settle the retrain."""
        from homeostat import flows

        return flows.settle(config, run_key, ports)


def release_claim(context: Context) -> None:
    """Give the right of way back when a retrain fails; for ``on_failure_callback``."""
    from homeostat.adapters import open_ledger
    from homeostat.config import Settings
    from homeostat.flows import run_key

    # Airflow promises these two alone to a DAG's callback; "dag_run" is missing from some contexts.
    model = context["dag"].dag_id.removeprefix("retrain__")
    open_ledger(Settings.from_env().ledger).release(model, run_key(model, context["run_id"]))


def _skipped(context: Context, sentence: str) -> AirflowSkipException:
    """Leave the reason where a person looks: a skipped task shows its XComs, but no exception."""
    context["ti"].xcom_push(key="skipped", value=sentence)
    return AirflowSkipException(sentence)


def _event(context: Context) -> dict[str, Any]:
    """The newest drift event that started this run; {} when a person did."""
    events = [event for group in (context.get("triggering_asset_events") or {}).values() for event in group]
    return dict(max(events, key=lambda event: event.timestamp).extra) if events else {}
