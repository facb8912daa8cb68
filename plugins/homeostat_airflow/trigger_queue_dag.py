"""consume_retrain_triggers: start a retrain for each trigger that the Lambda function put on the SQS queue.

The DAG exists when HOMEOSTAT_TRIGGERS names the queue. One mapped task group per message: `start` starts
`retrain__<model>` under a run id derived from the trigger's id, `ack` deletes the message. A message that
cannot be read fails its `start` and is returned to the queue; after three deliveries it is in the dead-letter
queue. A message whose run could not be started is redelivered after the visibility timeout, one hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import DAG, task_group
from airflow.sdk.definitions.xcom_arg import XComArg

from homeostat_airflow.sqs_consumer import (
    AckOperator,
    ReceiveOperator,
    StartRetrainOperator,
    retrain_triggers_asset,
)

if TYPE_CHECKING:
    from homeostat_airflow.dag_options import DagOptions


def trigger_queue_dag(url: str, options: DagOptions) -> DAG:
    """Return the DAG that consumes the queue at ``url``."""
    with options.dag(
        "consume_retrain_triggers",
        description="Starts retrain__<model> for each retrain trigger on the queue, once per trigger.",
        doc_md=__doc__,
        schedule=[retrain_triggers_asset(url, options.prefix)],
        tags=["aws"],
    ) as dag:
        step = {"prefix": options.prefix, **options.connected}

        @task_group(group_id="message")
        def message_group(message: XComArg) -> None:
            """Start the run of one message, then delete the message."""
            start = StartRetrainOperator(task_id="start", message=message, **step)
            start >> AckOperator(task_id="ack", message=message, **step)

        message_group.expand(message=ReceiveOperator(task_id="receive").output)
    return dag
