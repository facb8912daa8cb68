"""The step of ``join_log_files``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings

if TYPE_CHECKING:
    from airflow.sdk import Context


class JoinLogsOperator(BaseOperator):
    """Join the small files of all models' prediction logs; see :mod:`homeostat.storage.log_joining`."""

    ui_color = "#e8f0f7"

    def __init__(self, *, models: str = "", homeostat_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  # Airflow's
        """Return what was done; fails, to be retried, when it could not be done for a model."""
        from homeostat.adapters import build_ports
        from homeostat.monitoring.log_maintenance import join_logs

        settings = read_settings(self.homeostat_conn_id, self.models)
        result = join_logs(settings.each_model(), build_ports(settings))
        self.log.info("%s", result)
        if result["failed"]:
            lines = [f"{model}: {error}" for model, error in sorted(result["failed"].items())]
            msg = "the logs of these models were not joined, the others were:\n" + "\n".join(lines)
            raise RuntimeError(msg)
        return result
