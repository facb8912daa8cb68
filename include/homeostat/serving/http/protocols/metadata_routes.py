"""What clients of the other protocols ask before they score: whether it is ready, and what it takes."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from homeostat.serving.inference.routing import ModelState, Table

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

_KINDS: dict[type, str] = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}


def waiting_for(runtime: "Runtime") -> str:
    """Why the gateway is not ready to answer, in a sentence; empty when it is.

    It is ready once some model answers and every version that the ledger calls a champion was loaded or
    could not be: one broken model must not take the others out of service, and ``/health`` tells of it.
    """
    answering = 0
    for name, state in runtime.states.items():
        table = state.table
        if table.champion is not None:
            answering += 1
        elif table.traffic.champion is not None and table.traffic.champion not in state.failures:
            return f"Model '{name}' is being loaded."
    return "" if answering else "No model has a version that can answer yet."


def router(runtime: "Runtime") -> APIRouter:
    """GET of the Open Inference Protocol, and what ``mlflow.deployments`` asks about endpoints."""
    routes = APIRouter()

    @routes.get("/v2", tags=["open inference"], summary="The server's name and version")
    async def server() -> dict[str, Any]:
        return {"name": "homeostat", "version": runtime.version, "extensions": []}

    @routes.get("/v2/health/live", tags=["open inference"], summary="Whether the process answers")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @routes.get("/v2/health/ready", tags=["open inference"], summary="Whether the models can answer")
    async def ready() -> Response:
        why = waiting_for(runtime)
        body: dict[str, Any] = {"live": True, "ready": not why}
        return JSONResponse(body | ({"error": why} if why else {}), 503 if why else 200)

    @routes.get("/v2/models/{model}", tags=["open inference"], summary="A model's inputs and outputs")
    async def metadata(model: str) -> dict[str, Any]:
        return metadata_of(runtime, runtime.state(model))

    @routes.get("/v2/models/{model}/ready", tags=["open inference"], summary="Whether a model can answer")
    async def model_ready(model: str) -> Response:
        is_ready = runtime.state(model).table.champion is not None
        return JSONResponse({"name": model, "ready": is_ready}, 200 if is_ready else 503)

    @routes.get(
        "/v2/models/{model}/versions/{version}", tags=["open inference"], summary="The same for a version"
    )
    async def version_metadata(model: str, version: str) -> dict[str, Any]:
        state = runtime.state(model)
        _known(state.table, version)
        return metadata_of(runtime, state)

    @routes.get(
        "/v2/models/{model}/versions/{version}/ready",
        tags=["open inference"],
        summary="Whether a version is loaded",
    )
    async def version_ready(model: str, version: str) -> Response:
        table = runtime.state(model).table
        _known(table, version)
        is_ready = table.named(version) is not None
        return JSONResponse({"name": model, "ready": is_ready}, 200 if is_ready else 503)

    @routes.get(
        "/api/2.0/endpoints/", tags=["mlflow deployments"], summary="Every served model, as MLflow lists them"
    )
    async def endpoints() -> dict[str, Any]:
        return {"endpoints": [endpoint_of(name) for name in runtime.states], "next_page_token": None}

    @routes.get(
        "/api/2.0/endpoints/{model}",
        tags=["mlflow deployments"],
        summary="One served model, as MLflow lists it",
    )
    async def endpoint(model: str) -> dict[str, Any]:
        return endpoint_of(runtime.state(model).config.name)

    return routes


def _known(table: Table, version: str) -> None:
    """Raise 404 unless the routing names this version."""
    traffic = table.traffic
    refs = [traffic.champion, traffic.previous, traffic.active.candidate if traffic.active else None]
    if table.named(version) is None and all(ref is None or ref.version != version for ref in refs):
        raise HTTPException(404, "That version is neither champion nor candidate nor the previous one.")


def endpoint_of(model: str) -> dict[str, Any]:
    """A model as ``mlflow.deployments`` knows an endpoint."""
    return {
        "name": model,
        "endpoint_type": "mlflow/scoring",
        "model": {"name": model, "provider": "homeostat"},
        "endpoint_url": f"/endpoints/{model}/invocations",
        "limit": None,
    }


def metadata_of(runtime: "Runtime", state: ModelState) -> dict[str, Any]:
    """A model's tensors: what model.yaml declares goes in, what its champion was trained to say comes out."""
    spec, table = state.spec, state.table
    legs = (table.champion, table.candidate, table.previous)
    inputs = [
        _tensor(name, "FP64" if numeric else "BYTES")
        for name, numeric in zip(spec.names, spec.numeric, strict=True)
    ]
    outputs = [_tensor("predict", _answers(runtime, state))]
    if state.config.task == "classification":
        outputs.append(_tensor("confidence", "FP64"))
    return {
        "name": spec.model,
        "versions": list(dict.fromkeys(leg.ref.version for leg in legs if leg is not None)),
        "platform": "homeostat_sklearn",
        "inputs": inputs,
        "outputs": outputs,
    }


def _tensor(name: str, datatype: str) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1]}


def _answers(runtime: "Runtime", state: ModelState) -> str:
    """The datatype of ``predict``: that of the classes the champion knows."""
    if state.config.task == "regression":
        return "FP64"
    champion = state.table.champion
    loaded = runtime.loader.get(state.config.name, champion.ref) if champion is not None else None
    kinds = {
        type(each) for each in (loaded.bundle.manifest.get("classes") if loaded is not None else None) or ()
    }
    return _KINDS.get(kinds.pop(), "BYTES") if len(kinds) == 1 else "BYTES"
