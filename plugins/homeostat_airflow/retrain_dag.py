"""retrain__<model>: assemble, train, validate, gate, register, shadow, canary, promote.

Started by the drift asset's event, or manually with the form. The note of a run says how it ended. When the
candidate is refused, the stage that refused it succeeds and all tasks after it are skipped: nothing has to be
fixed. A failed task has to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param
from airflow.sdk.bases.operator import chain

from homeostat_airflow.dag_factory import with_params
from homeostat_airflow.links import health_url
from homeostat_airflow.operators import (
    AssembleOperator,
    CanaryOperator,
    GateOperator,
    PromoteOperator,
    RegisterOperator,
    ReleaseLease,
    ShadowOperator,
    TrainOperator,
    ValidateOperator,
    drift_asset,
)

if TYPE_CHECKING:
    from homeostat.config import ModelConfig
    from homeostat_airflow.dag_options import DagOptions

FORM = {
    "reason": Param(
        None,
        type=["null", "string"],
        title="Reason",
        description="Why you retrain; shown in MLflow with the version.",
    ),
    "training_window": Param(
        None,
        type=["null", "string"],
        title="Training window",
        description="Train on a shorter period, such as 90d, instead of training.window in model.yaml.",
        pattern=r"^(\d+(\.\d+)?[smhdw])?$",
    ),
    "until": Param(
        None,
        type=["null", "string"],
        title="Until",
        description="Use rows up to this time, such as 2026-01-05T07:00Z. Empty: up to now.",
    ),
    "pipeline": Param(
        None,
        type=["null", "string"],
        title="Pipeline",
        description="Try another pipeline, FILE:FUNCTION in the model's folder, without editing model.yaml.",
    ),
    "skip_shadow": Param(
        default=False,
        type="boolean",
        title="Skip the shadow",
        description="Go straight to the first canary step.",
    ),
    "force": Param(
        default=False,
        type="boolean",
        title="Force",
        description="Continue although the gate refuses. A forced version goes through shadow and canary "
        "and needs a person's approval to become champion.",
    ),
}


def retrain_dag(model: ModelConfig, options: DagOptions) -> DAG:
    """Return the DAG."""
    step = options.step(model.name)
    with options.dag(
        f"retrain__{model.name}",
        model.name,
        description=f"Trains, checks and rolls out a new version of {model.name}.",
        doc_md=f"[Model health of {model.name}]({health_url(model.name)})\n\n{__doc__}",
        airflow=model.airflow,
        schedule=[drift_asset(model.name, options.prefix)],
        max_active_runs=4,  # a second run starts, and ends as superseded
        on_failure_callback=ReleaseLease(**step),
        tags=["aws"] if model.training.runs_on == "ecs" else [],
    ) as dag:
        steps = [
            AssembleOperator(task_id="assemble", **step),
            _train(model, options),
            ValidateOperator(task_id="validate", **step),
            GateOperator(task_id="gate", **step),
            RegisterOperator(task_id="register", **step),
        ]
        if model.serve == "gateway":
            steps += [ShadowOperator(task_id="shadow", **step), CanaryOperator(task_id="canary", **step)]
        chain(*steps, PromoteOperator(task_id="promote", **step))
    return with_params(dag, FORM)


def _train(model: ModelConfig, options: DagOptions) -> TrainOperator:
    step = options.step(model.name)
    if model.training.runs_on == "airflow":
        return TrainOperator(task_id="train", **step)
    from homeostat_airflow.fargate import FargateTrainOperator  # imports Amazon's provider

    return FargateTrainOperator(task_id="train", **step)
