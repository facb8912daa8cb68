"""drift_check__<model>: check one window of data for drift and performance decay, hourly by default.

The schedule is `monitor.every` in model.yaml. With `monitor: {runs_on: lambda}` a Lambda function checks, and
this DAG imports its results.
"""

from airflow.sdk import DAG, Param

from homeostat.config import Settings, format_duration
from homeostat_airflow.dag_factory import RETRIES, START, error_dag, schedule
from homeostat_airflow.operators import CheckDriftOperator, SyncDetectorOperator, TriggerRetrainOperator

TITLE = "Window end"
HERE = Param(
    None,
    type=["null", "string"],
    title=TITLE,
    description="Re-check the past: the end of the window, such as 2026-01-05T07:00Z. "
    "Empty: the run's own hour.",
)

settings = Settings.from_env()


def in_aws(name: str) -> Param:
    """Return a read-only field that shows how to re-check a window of a model checked in AWS."""
    event = f'{{"model": "{name}", "window_end": "2026-01-05T07:00:00Z"}}'
    return Param(
        None,
        type=["null"],  # a list: otherwise the form requires a value
        enum=[None],
        values_display={"null": "not here"},
        title=TITLE,
        description_md="Nothing to fill in: a Lambda function checks this model, and this DAG imports its "
        f"results. To re-check a past window, invoke the function: `aws lambda invoke --function-name "
        f"{settings.project}-detector --cli-binary-format raw-in-base64-out --payload '{event}' result.json`",
    )


for model in settings.each_model():
    if isinstance(model, tuple):
        dag = error_dag("drift_check", *model)
    else:
        here = model.monitor.runs_on == "airflow"
        span = format_duration(model.monitor.window)
        what = "Checks" if here else "Imports the Lambda function's checks of"
        with DAG(
            f"drift_check__{model.name}",
            description=f"{what} the last {span} of {model.name}: drift, performance, retrain trigger.",
            doc_md=__doc__,
            schedule=schedule(model.monitor.every),
            start_date=START,
            catchup=False,
            max_active_runs=1,
            default_args=RETRIES,
            tags=["homeostat", model.name, *([] if here else ["aws"])],
            is_paused_upon_creation=False,
            params={"window_end": HERE if here else in_aws(model.name)},
        ) as dag:
            if here:
                check = CheckDriftOperator(task_id="check", model=model.name)
                check >> TriggerRetrainOperator(task_id="trigger_retrain", model=model.name)
            else:
                SyncDetectorOperator(task_id="sync_detector", model=model.name)
    globals()[dag.dag_id] = dag
