"""drift_check__<model>: check one window of data for drift and performance decay, hourly by default.

The schedule is `monitor.every` in model.yaml, `monitor.delay` after each full period. With
`monitor: {runs_on: lambda}` a Lambda function checks, and this DAG imports its results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, Param

from homeostat.config import format_duration
from homeostat_airflow.check_deadline import CheckDag, check_deadline
from homeostat_airflow.dag_factory import schedule, with_params
from homeostat_airflow.dag_options import MODEL_YAML, DagOptions
from homeostat_airflow.links import health_url
from homeostat_airflow.operators import CheckDriftOperator, SyncDetectorOperator, TriggerRetrainOperator

if TYPE_CHECKING:
    from homeostat.config import ModelConfig

TITLE = "Window end"
HERE = Param(
    None,
    type=["null", "string"],
    title=TITLE,
    description="Re-check the past: the end of the window, such as 2026-01-05T07:00Z. "
    "Empty: the run's own hour.",
)


def _in_aws(name: str, project: str) -> Param:
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
        f"{project}-detector --cli-binary-format raw-in-base64-out --payload '{event}' result.json`",
    )


def drift_check_dag(model: ModelConfig, options: DagOptions, project: str) -> DAG:
    """Return the DAG; ``project`` is the prefix of the names in AWS."""
    here = model.monitor.runs_on == "airflow"
    what = "Checks" if here else "Imports the Lambda function's checks of"
    every = options.schedule_of(model.name)
    ours = every == MODEL_YAML
    with options.dag(
        f"drift_check__{model.name}",
        model.name,
        description=f"{what} the last {format_duration(model.monitor.window)} of {model.name}: drift, "
        "performance, retrain trigger.",
        doc_md=f"[Model health of {model.name}]({health_url(model.name)})\n\n{__doc__}",
        airflow=model.airflow,
        schedule=schedule(model.monitor.every, model.check_delay) if ours else every,
        max_active_runs=1,
        kind=CheckDag,
        deadline=check_deadline(model, options) if here else None,
        tags=[] if here else ["aws"],
    ) as dag:
        step = options.step(model.name)
        if here:
            check = CheckDriftOperator(task_id="check", scheduled=ours, **step)
            check >> TriggerRetrainOperator(task_id="trigger_retrain", prefix=options.prefix, **step)
        else:
            SyncDetectorOperator(task_id="sync_detector", **step)
    return with_params(dag, {"window_end": HERE if here else _in_aws(model.name, project)})
