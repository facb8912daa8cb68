"""The address of a DAG run's page, for the pages of MLflow and of model health that link to it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from airflow.sdk import Context


def run_url(context: Context) -> str:
    """Return the page of this DAG run; "" where AIRFLOW__API__BASE_URL is not set."""
    from airflow.sdk.configuration import conf

    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return base + run_page(context) if base else ""


def run_page(context: Context) -> str:
    """Return the path of the page of this DAG run, below Airflow's address."""
    run = context["dag_run"]
    return f"/dags/{quote(run.dag_id, safe='')}/runs/{quote(run.run_id, safe='')}"
