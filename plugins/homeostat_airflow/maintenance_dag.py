"""join_log_files: once a day, join the small files that gateways have written to the prediction log.

An hour of the past becomes one file. Rows of the last seven days, and of five windows of a model, stay as
they are. Files are deleted by a later run than the one that joined them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat_airflow.operators.join_logs import JoinLogsOperator

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from homeostat_airflow.dag_options import DagOptions


def maintenance_dag(options: DagOptions) -> DAG:
    """Return the DAG of all models."""
    with options.dag(
        "join_log_files",
        description="Joins the small files of the prediction logs, a file an hour.",
        doc_md=__doc__,
        schedule="17 3 * * *",
        max_active_runs=1,
    ) as dag:
        JoinLogsOperator(task_id="join", **options.connected)
    return dag
