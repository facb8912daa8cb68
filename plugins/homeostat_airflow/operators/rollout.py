"""Rollouts: the stages shadow and canary of ``retrain__<model>``, and all stages of a registered version."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from homeostat_airflow.operators.base import OnRefusal, checked_choice, leave_for_note, settle, skip
from homeostat_airflow.operators.retrain import RetrainOperator
from homeostat_airflow.rollout_trigger import RolloutTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow.sdk import Context

    from homeostat.config import ModelConfig
    from homeostat.ports import Ports

#: The two responses to a request for approval.
APPROVE, DECLINE = "Approve", "Decline"
_REFUSED = ("refused", "superseded")


class RolloutStageOperator(RetrainOperator):
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
            raise skip(context, result["sentence"], logged=True)
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

    def brief(self, result: Mapping[str, Any]) -> str:
        """See :meth:`HomeostatOperator.brief`."""
        from homeostat.storage.retrain_outcome import WHERE

        if result.get("outcome") == "refused":
            return f"refused {WHERE.get(result['stage'], '')}".strip()
        return str(result.get("outcome") or result["phase"]).replace("_", " ")

    def rollout_id(self, context: Context) -> str:
        """Return the id of the rollout; known once a step has run."""
        return self.run_key(context)

    def _rollout_status(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:
        from homeostat.rollouts.lifecycle import rollout_status

        return rollout_status(config, self.rollout_id(context), ports)

    def _apply_response(
        self, config: ModelConfig, ports: Ports, context: Context, *, event: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Apply the response from Airflow's required actions, unless the rollout is past waiting."""
        from homeostat.rollouts.manual import manual_approve, manual_rollback

        state = self._rollout_status(config, ports, context)
        user = event.get("responded_by_user") or {}
        by = f"{user.get('name') or 'a user'} in Airflow"
        if config.approvers and not {user.get("name"), user.get("id")} & set(config.approvers):
            names = ", ".join(config.approvers)
            self.log.error("the response of %s does not count: only %s may approve (approvers)", by, names)
        elif state["phase"] != "waiting":
            self.log.warning("the response of %s is too late: %s", by, state["sentence"])
        elif APPROVE in event["chosen_options"]:
            manual_approve(config, ports, by=by)
        else:
            now = ports.clock.now()
            why = f"declined by {by}"
            manual_rollback(config.name, ports.ledger, reason=why, by=by, at=now, tracer=ports.tracer)
        return state

    def _wait_or_end(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        if result["phase"] in self.pending_phases:
            waiting = result["phase"] == "waiting"
            if waiting:
                self._request_approval(context, result)
            self.defer(
                trigger=RolloutTrigger(
                    model=self.model,
                    run_key=self.rollout_id(context),
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
                assigned_users=[{"id": name, "name": name} for name in self._approvers()],
            )
        except Exception:
            self.log.exception(
                "No required action in Airflow: approve with `homeostat promote %s`", self.model
            )

    def _approvers(self) -> tuple[str, ...]:
        return tuple(self.read_settings().load_model(self.model).approvers)


class ShadowOperator(RolloutStageOperator):
    """The candidate predicts the same inputs as the champion; clients do not see its predictions."""

    pending_phases = ("registered", "shadow")

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Write the rollout to the ledger; the gateways carry it out."""
        from homeostat.rollouts.lifecycle import begin_rollout

        return begin_rollout(config, run_key, ports)


class CanaryOperator(RolloutStageOperator):
    """The candidate gets a growing share of the traffic, or is rolled back."""

    pending_phases = ("canary", "waiting")
    earlier_stages = ("registered", "load", "shadow")

    def retrain_step(self, config: ModelConfig, run_key: str, ports: Ports) -> dict[str, Any]:
        """Read the rollout's status from the ledger."""
        from homeostat.rollouts.lifecycle import rollout_status

        return rollout_status(config, run_key, ports)


class RolloutOperator(RolloutStageOperator):
    """Take a registered version that passed its gate through shadow and canary to champion, in any DAG.

    Waits in the triggerer, not on a worker. Returns ``phase``, ``version``, ``outcome``, ``stage``,
    ``champion`` (whether it is champion now), ``sentence`` and ``url``. A version is rolled out once: a
    repeated task returns how that ended.

    Parameters
    ----------
    version
        Its number in MLflow under the model's name, such as a
        :class:`~homeostat_airflow.operators.GateOperator` returns. A Jinja template.
    on_refusal
        What happens unless the version becomes champion: ``fail`` fails the task without a retry, ``skip``
        skips it and the tasks after it, ``pass`` only returns the result.
    model, models, homeostat_conn_id
        See :class:`~homeostat_airflow.operators.HomeostatOperator`.
    """

    template_fields: Sequence[str] = ("model", "version")
    pending_phases = ("registered", "shadow", "canary", "waiting")

    def __init__(self, *, version: str, on_refusal: OnRefusal = "fail", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.version = version
        self.on_refusal = checked_choice(on_refusal)
        self._rollout = ""

    def execute(self, context: Context) -> Any:
        """Begin the rollout, then defer until it ends."""
        try:
            result = self._run(self.perform, context)
        except AirflowSkipException as error:  # a retrain of the model holds the lease
            found = {"phase": "", "version": str(self.version), "champion": False, "sentence": str(error)}
            return settle(self, context, found, "rollout", refused=True)
        return self._wait_or_end(context, result)

    def perform(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:  # noqa: ARG002  # not the run's
        """Begin the rollout once."""
        from homeostat.rollouts.registered import begin_registered, rollout_of

        self._rollout = rollout_of(config, str(self.version), ports)
        return begin_registered(config, str(self.version), ports)

    def rollout_id(self, context: Context) -> str:  # noqa: ARG002  # not the run's
        """Return the id of the version's rollout."""
        return self._rollout

    def _rollout_status(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:  # noqa: ARG002  # not the run's
        from homeostat.rollouts.registered import registered_status, rollout_of

        self._rollout = rollout_of(config, str(self.version), ports)
        return registered_status(config, self._rollout, ports)

    def _wait_or_end(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        super()._wait_or_end(context, result)
        ended = self._run(self._finalize, context)
        return settle(self, context, ended, "rollout", refused=not ended["champion"])

    def _finalize(self, config: ModelConfig, ports: Ports, context: Context) -> dict[str, Any]:  # noqa: ARG002  # not the run's
        from homeostat.rollouts.registered import end_registered

        return end_registered(config, self._rollout, ports)
