"""The pages and the JSON API of model health, read-only: what Airflow shows, from the same ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import HTMLResponse, Response

from homeostat.core.model_health import DEFAULT_RANGE, Links
from homeostat.core.rollout.phases import Traffic
from homeostat.core.rollout.served import GatewayView, Served, describe_served
from homeostat.figures import health
from homeostat.monitoring.model_health import mlflow_address, read_fleet, read_model
from homeostat.serving.http import aggregate
from homeostat.serving.http.protocols.response_schemas import FleetHealth, ModelHealth
from homeostat.serving.response_redaction import redact_json

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

_CSP = health.CSP.format(ancestors="'none'")


def routes(runtime: Runtime) -> APIRouter:
    """Return the routes: the page and its files are open, the data needs the scope ``read``."""
    router = APIRouter(tags=["status"])

    @router.get("/fleet", include_in_schema=False)
    async def page() -> HTMLResponse:
        html = health.page(assets="fleet/assets", title="Homeostat gateway", home="./", tokens=True)
        return HTMLResponse(html, headers={"Content-Security-Policy": _CSP, "Cache-Control": "no-store"})

    @router.get("/fleet/assets/{name:path}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in health.ASSETS:
            raise HTTPException(404, "There is no such file.")
        headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
        return Response(health.asset(name), media_type=health.ASSETS[name], headers=headers)

    @router.get("/health/models", summary="The health of every model", response_model=FleetHealth)
    def models() -> dict[str, Any]:
        return dict(redact_json(fleet_health(runtime, aggregate.models(runtime)), runtime.redact))

    @router.get(
        "/health/models/{model}", summary="The health of one model over time", response_model=ModelHealth
    )
    def model(
        model: str,
        range: Annotated[str, Query(pattern="^(7d|30d|90d|all)$")] = DEFAULT_RANGE,  # noqa: A002  # the query's name
    ) -> dict[str, Any]:
        views = {}
        if model in runtime.states:
            views[model] = GatewayView.from_status(aggregate.models(runtime, model)[0])
        elif model not in runtime.ports.ledger.models():
            runtime.state(model)  # raises NotFound
        settings = runtime.settings
        found = read_model(
            runtime.ports.ledger,
            model,
            runtime.now(),
            range_name=range,
            describe=_described(views),
            links=Links(
                airflow=settings.airflow_public_url or settings.airflow, mlflow=mlflow_address(settings)
            ),
        )
        return dict(redact_json(found, runtime.redact))

    return router


def fleet_health(runtime: Runtime, statuses: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one row per model, the worst first; ``statuses`` say what this gateway serves of each."""
    views = {status["name"]: GatewayView.from_status(status) for status in statuses}
    return read_fleet(runtime.ports.ledger, runtime.states, runtime.now(), _described(views))


def _described(views: dict[str, GatewayView]) -> Any:
    def describe(traffic: Traffic) -> Served | None:
        view = views.get(traffic.model)
        return describe_served(traffic, view) if view is not None else None

    return describe
