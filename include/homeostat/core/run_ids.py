"""Which ids of retrains are those of runs in Airflow."""

from __future__ import annotations

#: How the ids of retrains begin that the command line runs; release 0.2 recorded them as runs of Airflow.
CLI_RUN = "cli__"


def airflow_run(run_id: str) -> str:
    """Return the id of a run in Airflow as it was recorded; "" for a retrain that ran elsewhere."""
    return "" if run_id in ("", "-") or run_id.startswith(CLI_RUN) else run_id
