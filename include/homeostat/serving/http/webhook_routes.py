"""The route that hears MLflow's webhooks."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel

from homeostat.config.errors import HomeostatError
from homeostat.serving.auth.guard import WEBHOOK
from homeostat.serving.http.error_handlers import error_response, http_status
from homeostat.serving.http.protocols.response_schemas import ERRORS, ErrorResponse
from homeostat.serving.mlflow_webhooks import RejectedDelivery

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime


class Heard(BaseModel):
    """What a delivery led to; ``done`` names the aliases that were set."""

    model: str
    handled: bool
    done: dict[str, Any]


def routes(runtime: "Runtime") -> APIRouter:
    """Return the route. Every delivery with the right signature is audited when it changes something."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        WEBHOOK,
        summary="Hear a webhook of MLflow, signed with HOMEOSTAT_MLFLOW_WEBHOOK_SECRET",
        response_model=Heard,
        responses={
            status: {"model": ErrorResponse, "description": ERRORS[status]}
            for status in (400, 401, 404, 409, 503)
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
        },
    )
    async def mlflow(request: Request) -> Response:
        body = await request.body()
        try:
            heard = await run_in_threadpool(runtime.webhooks.receive, request.headers, body)
        except RejectedDelivery as error:
            return error_response(error.status, str(error))
        except HomeostatError as error:
            return error_response(http_status(error), runtime.redact(str(error)))
        if heard["done"]:
            runtime.audit.write(
                {
                    "at": runtime.now(),
                    "by": "mlflow",
                    "path": WEBHOOK,
                    "status": 200,
                    "message": str(heard["done"]),
                }
            )
        return JSONResponse(heard)

    return router
