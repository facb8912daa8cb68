"""The links from a task to its run or version in MLflow, and to the health of its model."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class MLflowLink(BaseOperatorLink):
    """Opens the ``url`` that the step returned: a run or a version."""

    name = "MLflow"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's
        """Return the URL; empty before the step has run."""
        from airflow.sdk.execution_time.xcom import XCom

        result = XCom.get_value(ti_key=ti_key, key="return_value")
        return str(result.get("url", "")) if isinstance(result, dict) else ""


class HealthLink(BaseOperatorLink):
    """Opens the page of the model's health."""

    name = "Model health"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002  # Airflow's
        """Return the URL of the page of the operator's model."""
        return health_url(getattr(operator, "model", ""))


def health_url(model: str) -> str:
    """Return the page of a model's health: below AIRFLOW__API__BASE_URL, or without it a path."""
    from airflow.configuration import conf

    base = str(conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/homeostat/health?model={quote(model, safe='')}"
