"""How errors of the control API become responses."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from homeostat.config.errors import (
    HomeostatError,
    NoPrevious,
    NotFound,
    Refused,
    StaleRevision,
    Unavailable,
    Untrusted,
)
from homeostat.serving import responses
from homeostat.serving.auth.guard import CALLER

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

logger = logging.getLogger(__name__)

_STATUS = (
    (NoPrevious, 409),
    (Untrusted, 409),
    (Refused, 409),
    (NotFound, 404),
    (StaleRevision, 409),
    (Unavailable, 503),
    (HomeostatError, 400),
)
_DEFAULT_MESSAGES = {
    404: "Unknown path; /openapi.json lists all paths.",
    405: "This path supports another method: {allowed}.",
}


def http_status(error: HomeostatError) -> int:
    """Return the HTTP status of one of Homeostat's errors."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    """Return an error in the gateway's usual form."""
    code = responses.CODES.get(status, "ERROR")
    return Response(responses.error(message, code), status, headers, media_type="application/json")


def add_error_handlers(app: FastAPI, runtime: Runtime) -> None:
    """Turn errors of the application into responses; audit control calls that fail before they are run."""

    def audit_control(request: Request, status: int, message: str) -> None:
        path = request.url.path
        if path.startswith("/control/"):
            caller = request.scope.get(CALLER, "unknown")
            runtime.audit.write(
                {"at": runtime.now(), "by": caller, "path": path[:200], "status": status, "message": message}
            )

    @app.exception_handler(HomeostatError)
    async def _homeostat(_: Request, error: HomeostatError) -> Response:
        return error_response(http_status(error), runtime.redact(str(error)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers) if error.headers else None
        message = str(error.detail)
        if message == HTTPStatus(error.status_code).phrase:  # the framework's default text
            allowed = (headers or {}).get("Allow", "")
            message = _DEFAULT_MESSAGES.get(error.status_code, message).format(allowed=allowed)
        audit_control(request, error.status_code, message)
        return error_response(error.status_code, message, headers)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        message = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}."
        audit_control(request, 400, message)
        return error_response(400, message)

    @app.exception_handler(Exception)
    async def _unexpected(_: Request, error: Exception) -> Response:
        logger.error("a control call failed", exc_info=error)
        return error_response(500, "Internal error; the gateway's log has the details.")
