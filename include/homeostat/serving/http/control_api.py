"""The control API: health, status and metrics, and the calls that change the traffic."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, BaseModel, Field

from homeostat.config.errors import HomeostatError
from homeostat.serving.auth.guard import CALLER, control_middleware
from homeostat.serving.http import aggregate, approval_page, health_pages, page, webhook_routes
from homeostat.serving.http.error_handlers import add_error_handlers, error_response, http_status
from homeostat.serving.http.protocols import metadata_routes, openapi
from homeostat.serving.http.protocols.response_schemas import (
    ERRORS,
    ErrorResponse,
    GatewayVersion,
    Health,
    ModelList,
    ModelStatus,
    Ping,
    TrafficChange,
)
from homeostat.serving.http.status import recent_events
from homeostat.serving.response_redaction import redact_json

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime


def _one_line(text: str) -> str:
    """Replace characters that end a line or control a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


Reason = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]


class RollbackRequest(BaseModel):
    """Why to roll back, and the version that must be the one rolled back; "" for whichever it is."""

    reason: Reason = "manual rollback"
    version: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""


class PromoteRequest(BaseModel):
    """The registered version to promote, and why."""

    version: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
    reason: Reason = "manual promotion"


def build(runtime: "Runtime") -> FastAPI:
    """Build the FastAPI application for every path except scoring and labels."""
    app = FastAPI(
        title="Homeostat gateway",
        version=runtime.version,
        description="Serves models by the ledger's routing and rolls bad versions back.",
        docs_url=None,  # its page loads scripts from a CDN; /openapi.json does not
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat whatever host the client sent
    )
    app.add_middleware(control_middleware, access_guard=runtime.access_guard)
    app.include_router(_status_routes(runtime))
    app.include_router(page.routes(runtime))
    app.include_router(health_pages.routes(runtime))
    app.include_router(approval_page.routes(runtime))
    app.include_router(webhook_routes.routes(runtime))
    app.include_router(_control_routes(runtime))
    app.include_router(metadata_routes.routes(runtime))
    app.include_router(openapi.method_not_allowed_routes())
    openapi.install(app, runtime)
    add_error_handlers(app, runtime)
    return app


def _status_routes(runtime: "Runtime") -> APIRouter:
    router = APIRouter(tags=["status"])

    @router.get("/ping", summary="Readiness, as SageMaker asks for it", response_model=Ping)
    async def ping() -> Response:
        why = metadata_routes.not_ready_reason(runtime)
        return error_response(503, why, {"Retry-After": "1"}) if why else JSONResponse({"status": "ok"})

    @router.get("/health", summary="Health, and the problems if it is degraded", response_model=Health)
    def health(request: Request) -> dict[str, Any]:
        guard = runtime.access_guard
        report = redact_json(aggregate.health(runtime), runtime.redact)
        if guard.token_store.error:
            report["problems"].append(guard.token_store.error)
        return report if guard.can_read(request.headers) else {"status": report["status"]}

    @router.get("/version", summary="The gateway's release and name")
    async def version() -> GatewayVersion:
        return GatewayVersion(version=runtime.version, gateway=runtime.options.gateway)

    @router.get("/metrics", summary="Metrics for Prometheus", response_class=PlainTextResponse)
    def metrics() -> Response:
        media_type = "text/plain; version=0.0.4; charset=utf-8"
        return Response(aggregate.metrics(runtime), media_type=media_type)

    @router.get("/models", summary="Every served model", response_model=ModelList)
    def models() -> dict[str, Any]:
        return {"models": redact_json(aggregate.models(runtime), runtime.redact)}

    @router.get(
        "/models/{model}", summary="One model: traffic, rollout, checks, counters", response_model=ModelStatus
    )
    def model(model: str) -> dict[str, Any]:
        runtime.state(model)  # raises NotFound
        status = aggregate.models(runtime, model)[0] | {"events": recent_events(runtime, model, 50)}
        return dict(redact_json(status, runtime.redact))

    return router


def _control_routes(runtime: "Runtime") -> APIRouter:
    async def caller(request: Request) -> str:
        """The caller that the middleware has authorized."""
        return str(request.scope[CALLER])

    Caller = Annotated[str, Depends(caller)]  # noqa: N806  # it is a type
    # The middleware has checked the token already; this only adds it to the API description.
    bearer = Security(HTTPBearer(auto_error=False, description="A token with scope control."))
    router = APIRouter(
        prefix="/control",
        tags=["control"],
        responses={409: {"model": ErrorResponse, "description": ERRORS[409]}},
        dependencies=[bearer],
    )

    def audited(
        by: str, path: str, request: dict[str, Any], call: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        entry = {"at": runtime.now(), "by": by, "path": f"/control/{path}", "request": request}
        try:
            result = call()
        except HomeostatError as error:
            runtime.audit.write(entry | {"status": http_status(error), "message": str(error)})
            raise
        runtime.audit.write(entry | {"status": 200, "message": result.get("reason", "")})
        return result

    @router.post(
        "/models/{model}/rollback",
        summary="Roll back the candidate, or else the champion",
        response_model=TrafficChange,
    )
    def rollback(model: str, by: Caller, body: RollbackRequest | None = None) -> dict[str, Any]:
        request = body or RollbackRequest()
        return audited(
            by,
            f"models/{model}/rollback",
            request.model_dump(),
            lambda: runtime.roll_back(model, request.reason, by, request.version),
        )

    @router.post(
        "/models/{model}/approve", summary="Approve the waiting candidate", response_model=TrafficChange
    )
    def approve(model: str, by: Caller) -> dict[str, Any]:
        return audited(by, f"models/{model}/approve", {}, lambda: runtime.approve(model, by))

    @router.post(
        "/models/{model}/promote", summary="Promote a registered version", response_model=TrafficChange
    )
    def promote(model: str, request: PromoteRequest, by: Caller) -> dict[str, Any]:
        return audited(
            by,
            f"models/{model}/promote",
            request.model_dump(),
            lambda: runtime.promote(model, request.version, request.reason, by),
        )

    @router.post("/flush", summary="Write the buffered log rows to the store now")
    def flush(by: Caller) -> dict[str, Any]:
        return audited(by, "flush", {}, lambda: aggregate.flush(runtime))

    return router
