"""hear_triggers: what drift detectors in AWS write on the queue starts the retrain of the model gone stale.

There is such a DAG where HOMEOSTAT_TRIGGERS names the queue. One mapped group per message: `start` starts
`retrain__<model>` under a run id made of the trigger's id, `done` takes the message off the queue. A message
that cannot be read turns its `start` red and is given back; after three deliveries it lies in the dead-letter
queue. One whose run could not be started comes again when the queue's visibility timeout is over, an hour.
"""

from airflow.sdk import DAG, task_group

from homeostat.config import Settings
from homeostat_airflow.dag_factory import RETRIES, START

settings = Settings.from_env()
if settings.triggers:
    from airflow.sdk.definitions.xcom_arg import XComArg

    from homeostat_airflow.sqs_consumer import (
        DoneOperator,
        ReadOperator,
        StartRetrainOperator,
        triggers_asset,
    )

    with DAG(
        "hear_triggers",
        description="Retrain triggers from the queue: starts retrain__<model>, once per trigger.",
        doc_md=__doc__,
        schedule=[triggers_asset(settings.triggers)],
        start_date=START,
        catchup=False,
        default_args=RETRIES,
        tags=["homeostat", "aws"],
        is_paused_upon_creation=False,  # a paused consumer loses asset events
    ):

        @task_group(group_id="message")
        def heard(message: XComArg) -> None:
            """One message: its run first, then it may go."""
            start = StartRetrainOperator(task_id="start", message=message)
            start >> DoneOperator(task_id="done", message=message)

        heard.expand(message=ReadOperator(task_id="read").output)
