"""The stages of a rollout in ``retrain__<model>``: shadow and canary."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from homeostat_airflow.operators.base import skip
from homeostat_airflow.operators.retrain import RetrainOperator, leave_for_note
from homeostat_airflow.rollout_trigger import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports

#: The two responses to a request for approval.
APPROVE, DECLINE = "Approve", "Decline"
_REFUSED = ("refused", "superseded")


class RolloutOperator(RetrainOperator):
    """A stage of the rollout, carried out by the gateways; waits in the triggerer, not on a worker.

    A refusal in this stage is its result, as it is the gate's: the task succeeds, and the tasks after it are
    skipped.
    """

    pending_phases: tuple[str, ...] = ()
    #: Stages of an outcome after which this stage has nothing to do.
    earlier_stages: tuple[str, ...] = ()

    def execute(self, context: Context) -> Any:
        """Start or check the stage, then defer until it ends."""
        result = super().execute(context)
        if result["outcome"] in _REFUSED and result["stage"] in self.earlier_stages:
            raise skip(context, result["sentence"])
        return self._wait_or_end(context, result)

    def resume(self, context: Context, event: Mapping[str, Any]) -> Any:
        """Continue when the stage has ended or a person has responded.

        The name is stored with a deferred task: keep it.
        """
        if event.get("error"):
            msg = f"cannot follow the rollout: {event['error']}"
            leave_for_note(context, "failed", f"{self.model}: {msg}")
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
                    homeostat_conn_id=self.homeostat_conn_id,
                    phases=["waiting"]
                    if waiting
                    else [phase for phase in self.pending_phases if phase != "waiting"],
                ),
                method_name="resume",
            )
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
    earlier_stages = ("registered", "load", "shadow")

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Read the rollout's status from the ledger."""
        from homeostat.rollouts.lifecycle import rollout_status

        return rollout_status(config, run_key, ports)
