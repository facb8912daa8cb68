"""The control side: health, state, metrics, and what a person may order with a token."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, BaseModel, Field
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
from homeostat.serving import responses as encode
from homeostat.serving.auth.guard import WHO, guard
from homeostat.serving.http import aggregate as whole
from homeostat.serving.http.protocols import metadata_routes as reading
from homeostat.serving.http.protocols import openapi
from homeostat.serving.http.status import events_of
from homeostat.serving.redaction import cleaned

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

Name = str


def _one_line(text: str) -> str:
    """What a person wrote, without what would end a line or steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


Text = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_one_line)]


class RollbackOrder(BaseModel):
    """Why a version is taken back, and which: that one or none; left out, whichever is on trial or serves."""

    reason: Text = "by hand"
    version: Annotated[str, Field(pattern=r"^[0-9]{0,18}$")] = ""


class PromoteOrder(BaseModel):
    """Which registered version becomes champion."""

    version: Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
    reason: Text = "promoted by hand"


class Sentence(BaseModel):
    """An error: what was wrong and what would be right."""

    error_code: str
    message: str
    detail: str
    error: str


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Sentence, "description": text}
    for status, text in {
        400: "The request is wrong; the sentence says how.",
        401: "No token, or not the right form of one.",
        403: "A wrong token, one without the scope, or none is configured.",
        404: "No such model or version.",
        409: "It cannot be done now, and why.",
        413: "More than an order may bring.",
        503: "A service does not answer; try again.",
    }.items()
}
_READS: dict[int | str, dict[str, Any]] = {404: _ERRORS[404], 400: _ERRORS[400]}
_LOST = {
    404: "There is nothing at this path; /openapi.json describes what there is.",
    405: "This path answers another method: {allowed}.",
}
_STATUS = (
    (NoPrevious, 409),
    (Untrusted, 409),
    (Refused, 409),
    (NotFound, 404),
    (StaleRevision, 409),
    (Unavailable, 503),
    (HomeostatError, 400),
)


def status_of(error: HomeostatError) -> int:
    """The HTTP status of an error that was raised on purpose."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def failure(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    """An error as the gateway answers it everywhere."""
    code = encode.CODES.get(status, "ERROR")
    return Response(encode.error(sentence, code), status, headers, media_type="application/json")


def build(runtime: "Runtime") -> FastAPI:
    """The FastAPI application of everything that is not the hot path."""
    app = FastAPI(
        title="Homeostat gateway",
        version=runtime.version,
        description="Serves models by the ledger's routing, and takes bad versions back.",
        docs_url=None,  # its page comes from a CDN; /openapi.json does not
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat whatever host the client named
    )
    app.add_middleware(guard, door=runtime.door)
    app.include_router(_reading(runtime))
    app.include_router(_page(runtime))
    app.include_router(_ordering(runtime))
    app.include_router(reading.router(runtime))
    app.include_router(openapi.stubs())
    openapi.describe(app, runtime)

    def noted(request: Request, status: int, sentence: str) -> None:
        """Put an order on record that came to nothing before it was understood."""
        path = request.url.path
        if path.startswith("/control/"):
            who = request.scope.get(WHO, "unknown")
            runtime.audit.write(
                {"at": runtime.now(), "by": who, "path": path[:200], "status": status, "said": sentence}
            )

    @app.exception_handler(HomeostatError)
    async def _known(_: Request, error: HomeostatError) -> Response:
        return failure(status_of(error), runtime.clean(str(error)))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers) if error.headers else None
        sentence = str(error.detail)
        if sentence == HTTPStatus(error.status_code).phrase:  # nobody said more than that
            sentence = _LOST.get(error.status_code, sentence).format(allowed=(headers or {}).get("Allow", ""))
        noted(request, error.status_code, sentence)
        return failure(error.status_code, sentence, headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        sentence = f"{where}: {first['msg']}."
        noted(request, 400, sentence)
        return failure(400, sentence)

    @app.exception_handler(Exception)
    async def _unknown(_: Request, error: Exception) -> Response:
        logging.getLogger(__name__).error("a control call failed", exc_info=error)
        return failure(500, "The gateway failed on this call; its log says more.")

    return app


def _reading(runtime: "Runtime") -> APIRouter:
    router = APIRouter(tags=["state"])

    @router.get("/ping", summary="Whether the models can answer (SageMaker's)", responses={503: _ERRORS[503]})
    async def ping() -> Response:
        why = reading.waiting_for(runtime)
        return failure(503, why, {"Retry-After": "1"}) if why else JSONResponse({"status": "ok"})

    @router.get("/health", summary="Whether every served model can answer", responses={503: _ERRORS[503]})
    def health(request: Request) -> Response:
        body = cleaned(whole.health(runtime), runtime.clean)
        if runtime.door.keyring.trouble:
            body["troubles"].append(runtime.door.keyring.trouble)
        if not runtime.door.may_read(request.headers):
            body = {"status": body["status"]}
        return JSONResponse(body, 200 if body["status"] != "down" else 503)

    @router.get("/version", summary="The gateway's own version")
    async def version() -> dict[str, str]:
        return {"version": runtime.version, "gateway": runtime.options.gateway}

    @router.get("/metrics", summary="For Prometheus", response_class=Response)
    def metrics() -> Response:
        return Response(whole.metrics(runtime), media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/models", summary="Every served model and where it stands")
    def models() -> dict[str, Any]:
        return {"models": cleaned(whole.models(runtime), runtime.clean)}

    @router.get("/models/{model}", summary="One model: traffic, phase, checks, counters", responses=_READS)
    def model(model: Name) -> dict[str, Any]:
        runtime.state(model)  # NotFound says which there are
        shown = whole.models(runtime, model)[0] | {"events": events_of(runtime, model, 50)}
        return dict(cleaned(shown, runtime.clean))

    return router


def _page(runtime: "Runtime") -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    def page() -> HTMLResponse:
        html = (Path(__file__).parent / "page.html").read_text(encoding="utf-8")
        return HTMLResponse(html, headers={"Content-Security-Policy": _CSP, "Cache-Control": "no-store"})

    @router.get("/overview.json")
    def overview() -> dict[str, Any]:
        shown = [model | {"events": events_of(runtime, model["name"], 8)} for model in whole.models(runtime)]
        said = {"health": whole.health(runtime), "version": runtime.version, "models": shown}
        return dict(cleaned(said, runtime.clean))

    return router


_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'"
)


def _ordering(runtime: "Runtime") -> APIRouter:
    async def caller(request: Request) -> str:
        """Whom the door let in."""
        return str(request.scope[WHO])

    Operator = Annotated[str, Depends(caller)]  # noqa: N806  # it is a type
    # The door has asked for the token already; this only puts it into the API's description.
    described = Security(HTTPBearer(auto_error=False, description="A token with scope control."))
    router = APIRouter(prefix="/control", tags=["control"], responses=_ERRORS, dependencies=[described])

    def ordered(
        who: str, path: str, asked: dict[str, Any], do: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        entry = {"at": runtime.now(), "by": who, "path": path, "asked": asked}
        try:
            result = do()
        except HomeostatError as error:
            runtime.audit.write(entry | {"status": status_of(error), "said": str(error)})
            raise
        runtime.audit.write(entry | {"status": 200, "said": result.get("reason", "")})
        return result

    @router.post("/models/{model}/rollback", summary="Take the candidate back, or else the champion")
    def rollback(model: Name, who: Operator, order: RollbackOrder | None = None) -> dict[str, Any]:
        asked = order or RollbackOrder()
        path = f"/control/models/{model}/rollback"
        return ordered(
            who, path, asked.model_dump(), lambda: runtime.roll_back(model, asked.reason, who, asked.version)
        )

    @router.post("/models/{model}/approve", summary="Say yes to the candidate that waits")
    def approve(model: Name, who: Operator) -> dict[str, Any]:
        return ordered(who, f"/control/models/{model}/approve", {}, lambda: runtime.approve(model, who))

    @router.post("/models/{model}/promote", summary="Make a registered version champion")
    def promote(model: Name, order: PromoteOrder, who: Operator) -> dict[str, Any]:
        asked = order.model_dump()
        path = f"/control/models/{model}/promote"
        return ordered(who, path, asked, lambda: runtime.promote(model, order.version, order.reason, who))

    @router.post("/flush", summary="Write the prediction log's buffers to the store now")
    def flush(who: Operator) -> dict[str, Any]:
        return ordered(who, "/control/flush", {}, lambda: whole.flush(runtime))

    return router
