"""drift_check__<model>: is this model still right about the world? Asked hourly, or as model.yaml says.

Where model.yaml says `monitor: {runs_on: lambda}`, a function in AWS asks; its answers are collected here.
"""

from airflow.sdk import DAG, Param

from homeostat.config import Settings, format_duration
from homeostat_airflow.dag_factory import RETRIES, START, broken, schedule
from homeostat_airflow.operators import CheckDriftOperator, CollectOperator, TriggerRetrainOperator

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
    """A field that takes nothing, and says where a window of this model is checked again."""
    event = f'{{"model": "{name}", "window_end": "2026-01-05T07:00:00Z"}}'
    return Param(
        None,
        type=["null"],  # a list, or the form would want something
        enum=[None],
        values_display={"null": "not here"},
        title=TITLE,
        description_md="Nothing to fill in: a function in AWS checks this model, and what it found is "
        f"collected here. To check a window of the past again, invoke it: `aws lambda invoke --function-name "
        f"{settings.project}-detector --cli-binary-format raw-in-base64-out --payload '{event}' answer.json`",
    )


for model in settings.each_model():
    if isinstance(model, tuple):
        dag = broken("drift_check", *model)
    else:
        here = model.monitor.runs_on == "airflow"
        span = format_duration(model.monitor.window)
        who = "Looks at" if here else "Collects what a function in AWS saw of"
        with DAG(
            f"drift_check__{model.name}",
            description=f"Has {model.name} gone stale? {who} the last {span}.",
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
                CollectOperator(task_id="collect", model=model.name)
    globals()[dag.dag_id] = dag
