"""The Model health page: every model on one screen, from the ledger and the last drift reports."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

if TYPE_CHECKING:
    from homeostat.adapters.gateway_client import GatewayViews
    from homeostat.config import Settings
    from homeostat.core.rollout.served import GatewayView

#: How many windows the strip of a model shows.
WINDOWS = 48

app = FastAPI(title="Homeostat", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/health", response_class=HTMLResponse)
def health(user: GetUserDep) -> str:  # noqa: ARG001  # requires a logged-in user
    """Show every model: champion, rollout, and the drift of the last windows."""
    from homeostat.adapters import open_ledger, open_store
    from homeostat.adapters.gateway_client import read_gateway
    from homeostat.core.rollout import PHASE_SENTENCES
    from homeostat.core.rollout.served import describe_served
    from homeostat.figures.html import render
    from homeostat_airflow.connection import read_settings

    settings = read_settings()
    ledger, store = open_ledger(settings.ledger), open_store(settings.store)
    gateway = read_gateway(settings)
    models = [
        {
            "name": name,
            "traffic": (traffic := ledger.read(name)),
            "served": describe_served(traffic, _view(settings, name, gateway)),
            "reports": _reports(store, name),
        }
        # Includes models whose model.yaml is invalid. The web server may lack the folder of homeostat_dags.
        for name in settings.model_names() or ledger.models()
    ]
    return render("homeostat_airflow", "health_page.html", models=models, sentences=PHASE_SENTENCES)


def _view(settings: Settings, model: str, gateway: GatewayViews) -> GatewayView | str:
    from homeostat.config.errors import ConfigError

    with suppress(ConfigError):
        if settings.load_model(model).serve == "none":
            return "no gateway serves it (serve: none)"
    return gateway.of(model)


def _reports(store: Any, model: str) -> list[dict[str, Any]]:
    return [json.loads(store.get(key)) for key in store.list(f"reports/{model}/")[-WINDOWS:]]
