"""consume_retrain_triggers: start a retrain for each trigger that the Lambda function put on the SQS queue.

The DAG exists when HOMEOSTAT_TRIGGERS names the queue. One mapped task group per message: `start` starts
`retrain__<model>` under a run id derived from the trigger's id, `ack` deletes the message. A message that
cannot be read fails its `start` and is returned to the queue; after three deliveries it is in the dead-letter
queue. A message whose run could not be started is redelivered after the visibility timeout, one hour.
"""

from airflow.sdk import DAG, task_group

from homeostat.config import Settings
from homeostat_airflow.dag_factory import RETRIES, START

settings = Settings.from_env()
if settings.triggers:
    from airflow.sdk.definitions.xcom_arg import XComArg

    from homeostat_airflow.sqs_consumer import (
        AckOperator,
        ReceiveOperator,
        StartRetrainOperator,
        retrain_triggers_asset,
    )

    with DAG(
        "consume_retrain_triggers",
        description="Starts retrain__<model> for each retrain trigger on the queue, once per trigger.",
        doc_md=__doc__,
        schedule=[retrain_triggers_asset(settings.triggers)],
        start_date=START,
        catchup=False,
        default_args=RETRIES,
        tags=["homeostat", "aws"],
        is_paused_upon_creation=False,  # a paused DAG loses asset events
    ):

        @task_group(group_id="message")
        def message_group(message: XComArg) -> None:
            """Start the run of one message, then delete the message."""
            start = StartRetrainOperator(task_id="start", message=message)
            start >> AckOperator(task_id="ack", message=message)

        message_group.expand(message=ReceiveOperator(task_id="receive").output)
