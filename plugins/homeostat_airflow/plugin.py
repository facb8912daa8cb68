"""The Airflow plugin: the Model health page, the links from tasks, and the notes of retrains.

The package registers it under the entry point ``airflow.plugins``.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from homeostat_airflow import run_note
from homeostat_airflow.links import HealthLink, MLflowLink


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Answer as the pages' ASGI application, imported at the first request.

    The process of every task loads this plugin, and the application's imports cost it half a second of CPU.
    """
    from homeostat_airflow.health_page import app

    await app(scope, receive, send)


class HomeostatPlugin(AirflowPlugin):
    """Registers the page, the links and the listener."""

    name = "homeostat"
    operator_extra_links: list[Any] = [MLflowLink(), HealthLink()]
    listeners: list[Any] = [run_note]
    fastapi_apps: list[dict[str, Any]] = [{"app": pages, "url_prefix": "/homeostat", "name": "Homeostat"}]
    external_views: list[dict[str, Any]] = [
        {
            "name": "Models",  # a longer name is cut off
            "href": "/homeostat/health",
            "destination": "nav",
            "url_route": "model_health",
        }
    ]
