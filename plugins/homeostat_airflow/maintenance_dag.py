"""join_log_files: once a day, join small files of the prediction log, and delete old monitoring.

An hour of the past becomes one file. Rows of the last seven days, and of five windows of a model, stay as
they are. Files are deleted by a later run than the one that joined them.

What drift checks found is deleted when it is older than `monitor.keep` of its model: days in MLflow, reports
in the store, windows in the ledger. What started the retrain of a version is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat_airflow.operators.delete_monitoring import DeleteMonitoringOperator
from homeostat_airflow.operators.join_logs import JoinLogsOperator

if TYPE_CHECKING:
    from airflow.sdk import DAG

    from homeostat_airflow.dag_options import DagOptions


def maintenance_dag(options: DagOptions) -> DAG:
    """Return the DAG of all models."""
    with options.dag(
        "join_log_files",
        description="Joins small files of the prediction logs, and deletes old monitoring.",
        doc_md=__doc__,
        schedule="17 3 * * *",
        max_active_runs=1,
    ) as dag:
        JoinLogsOperator(task_id="join", **options.connected)
        DeleteMonitoringOperator(task_id="delete_old_monitoring", **options.connected)
    return dag
