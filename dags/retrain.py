"""retrain__<model>: assemble, train, validate, gate, register, shadow, canary, promote.

Started by the drift asset's event, or manually with the form. The note of a run says how it ended. When the
candidate is refused, the stage that refused it succeeds and all tasks after it are skipped: nothing has to be
fixed. A failed task has to be.
"""

from airflow.sdk import DAG, Param
from airflow.sdk.bases.operator import chain

from homeostat.config import ModelConfig, Settings
from homeostat_airflow.dag_factory import RETRIES, START, error_dag
from homeostat_airflow.operators import (
    AssembleOperator,
    CanaryOperator,
    GateOperator,
    PromoteOperator,
    RegisterOperator,
    ShadowOperator,
    TrainOperator,
    ValidateOperator,
    drift_asset,
    release_lease,
)

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


def _train(model: ModelConfig) -> TrainOperator:
    if model.training.runs_on == "airflow":
        return TrainOperator(task_id="train", model=model.name)
    from homeostat_airflow.fargate import FargateTrainOperator  # imports Amazon's provider

    return FargateTrainOperator(task_id="train", model=model.name)


for model in Settings.from_env().each_model():
    if isinstance(model, tuple):
        dag = error_dag("retrain", *model)
    else:
        with DAG(
            f"retrain__{model.name}",
            description=f"Trains, checks and rolls out a new version of {model.name}.",
            doc_md=__doc__,
            schedule=[drift_asset(model.name)],
            start_date=START,
            catchup=False,
            max_active_runs=4,  # a second run starts, and ends as superseded
            default_args=RETRIES,
            on_failure_callback=release_lease,
            tags=["homeostat", model.name, *(["aws"] if model.training.runs_on == "ecs" else [])],
            is_paused_upon_creation=False,  # a paused DAG loses asset events
            params=FORM,
        ) as dag:
            name = {"model": model.name}
            steps = [
                AssembleOperator(task_id="assemble", **name),
                _train(model),
                ValidateOperator(task_id="validate", **name),
                GateOperator(task_id="gate", **name),
                RegisterOperator(task_id="register", **name),
            ]
            if model.serve == "gateway":
                steps += [
                    ShadowOperator(task_id="shadow", **name),
                    CanaryOperator(task_id="canary", **name),
                ]
            chain(*steps, PromoteOperator(task_id="promote", **name))
    globals()[dag.dag_id] = dag
