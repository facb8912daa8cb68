"""The step of ``join_log_files`` that deletes old monitoring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from homeostat_airflow.connection import DEFAULT_CONN_ID, read_settings

if TYPE_CHECKING:
    from airflow.sdk import Context


class DeleteMonitoringOperator(BaseOperator):
    """Delete monitoring older than ``monitor.keep``; see :mod:`homeostat.monitoring.retention`."""

    ui_color = "#e8f0f7"

    def __init__(self, *, models: str = "", homeostat_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.homeostat_conn_id = homeostat_conn_id

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  # Airflow's
        """Return what was deleted; fails, to be retried, when it could not be done for a model."""
        from homeostat.adapters import build_ports, open_store_history
        from homeostat.monitoring.retention import delete_old_monitoring

        settings = read_settings(self.homeostat_conn_id, self.models)
        ports = build_ports(settings)
        result = delete_old_monitoring(settings.each_model(), ports, [open_store_history(ports.store)])
        self.log.info("%s", result)
        if result["failed"]:
            lines = [f"{model}: {error}" for model, error in sorted(result["failed"].items())]
            msg = "the old monitoring of these models was not deleted:\n" + "\n".join(lines)
            raise RuntimeError(msg)
        return result
