"""drift_check__<model>: is this model still right about the world? Asked hourly, or as model.yaml says."""

from airflow.sdk import DAG, Param

from homeostat.config import Settings
from homeostat_airflow.operators import CheckDriftOperator, TriggerRetrainOperator
from homeostat_airflow.wiring import RETRIES, START, broken, schedule

for model in Settings.from_env().each_model():
    if isinstance(model, tuple):
        dag = broken("drift_check", *model)
    else:
        with DAG(
            f"drift_check__{model.name}",
            description=f"Has {model.name} gone stale? Looks at the last {model.monitor.window}.",
            doc_md=__doc__,
            schedule=schedule(model.monitor.every),
            start_date=START,
            catchup=False,
            max_active_runs=1,
            default_args=RETRIES,
            tags=["homeostat", model.name],
            is_paused_upon_creation=False,
            params={
                "window_end": Param(
                    None,
                    type=["null", "string"],
                    title="Window end",
                    description="Re-check the past: the end of the window, such as 2026-01-05T07:00Z. "
                    "Empty: the run's own hour.",
                )
            },
        ) as dag:
            check = CheckDriftOperator(task_id="check", model=model.name)
            check >> TriggerRetrainOperator(task_id="trigger_retrain", model=model.name)
    globals()[dag.dag_id] = dag
