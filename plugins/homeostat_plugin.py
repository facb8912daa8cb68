"""Adds the Model health page and the links from tasks to MLflow to Airflow.

Airflow executes this file under its bare name. The code is in ``homeostat_airflow``, which
``.airflowignore`` keeps from being executed twice.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from homeostat_airflow.health_page import app
from homeostat_airflow.links import MLflowLink


class HomeostatPlugin(AirflowPlugin):
    """Registers the page and the link."""

    name = "homeostat"
    operator_extra_links: list[Any] = [MLflowLink()]
    fastapi_apps: list[dict[str, Any]] = [{"app": app, "url_prefix": "/homeostat", "name": "Homeostat"}]
    external_views: list[dict[str, Any]] = [
        {
            "name": "Model health",
            "href": "/homeostat/health",
            "destination": "nav",
            "url_route": "model_health",
            "category": "browse",
        }
    ]
