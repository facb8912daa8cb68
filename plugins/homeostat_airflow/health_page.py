"""The Model health pages in Airflow, and their JSON API: the same pages as the gateway's."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Query
from fastapi.responses import HTMLResponse, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.config import Settings
    from homeostat.core.rollout import Traffic
    from homeostat.core.rollout.served import Served
    from homeostat.ports import Ledger

app = FastAPI(title="Homeostat", docs_url=None, redoc_url=None, openapi_url=None)


@app.get("/health", response_class=HTMLResponse)
def health(user: GetUserDep) -> HTMLResponse:  # noqa: ARG001  # requires a logged-in user
    """Return the page of all models, and with ``?model=NAME`` of one."""
    from homeostat.figures import health as pages

    headers = {"Content-Security-Policy": pages.CSP.format(ancestors="'self'"), "Cache-Control": "no-store"}
    return HTMLResponse(pages.page(assets="health/assets", title="Airflow"), headers=headers)


@app.get("/health/assets/{name:path}")
def asset(name: str) -> Response:
    """Return a script or a style of the pages; they hold no data."""
    from homeostat.figures import health as pages

    if name not in pages.ASSETS:
        raise HTTPException(404, "There is no such file.")
    return Response(
        pages.asset(name),
        media_type=pages.ASSETS[name],
        headers={"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"},
    )


@app.get("/health/models")
def models(user: GetUserDep) -> dict[str, Any]:  # noqa: ARG001
    """Return the health of every model, the worst first."""
    from homeostat.monitoring.model_health import read_fleet
    from homeostat_airflow.connection import read_settings

    settings = read_settings()
    # Includes models whose model.yaml is invalid. The web server may lack the folder of homeostat_dags.
    return read_fleet(
        _ledger(settings.ledger), settings.model_names(), datetime.now(UTC), _describe(settings)
    )


@app.get("/health/models/{model}")
def model(
    model: str,
    user: GetUserDep,  # noqa: ARG001
    range: Annotated[str, Query(pattern="^(7d|30d|90d|all)$")] = "30d",  # noqa: A002  # the query's name
) -> dict[str, Any]:
    """Return the health of one model over time."""
    from homeostat.core.model_health import Links
    from homeostat.monitoring.model_health import mlflow_address, read_model
    from homeostat_airflow.connection import read_settings

    settings = read_settings()
    ledger = _ledger(settings.ledger)
    if model not in settings.model_names() and model not in ledger.models():
        raise HTTPException(404, f"There is no model {model!r}.")
    return read_model(
        ledger,
        model,
        datetime.now(UTC),
        range_name=range,
        describe=_describe(settings),
        links=Links(
            airflow="..",
            mlflow=mlflow_address(settings),
            gateway=settings.gateway_public_url or settings.gateway,
        ),
    )


@cache
def _ledger(url: str) -> Ledger:
    """Return the ledger at this address, with one pool of connections per process."""
    from homeostat.adapters import open_ledger

    return open_ledger(url)


def _describe(settings: Settings) -> Callable[[Traffic], Served | None]:
    """Return what says which version the gateway serves; it is asked once, for all models."""
    from homeostat.adapters.gateway_client import read_gateway
    from homeostat.core.rollout.served import describe_served

    gateway = read_gateway(settings)

    def describe(traffic: Traffic) -> Served | None:
        return describe_served(traffic, gateway.of(traffic.model))

    return describe
