"""Readiness and metadata for clients of the Open Inference Protocol and of ``mlflow.deployments``."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from homeostat.serving.http.protocols.response_schemas import (
    Endpoint,
    EndpointModel,
    Endpoints,
    Live,
    ModelMetadata,
    ModelReady,
    Ready,
    ServerMetadata,
    TensorMetadata,
)
from homeostat.serving.inference.routing import RoutingTable, ServedModel

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime

_DATATYPES: dict[type, str] = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES"}
#: 503 with the same body as 200.
_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": Ready, "description": "Not ready."}}
_MODEL_NOT_READY: dict[int | str, dict[str, Any]] = {503: {"model": ModelReady, "description": "Not ready."}}


def not_ready_reason(runtime: "Runtime") -> str:
    """Return why the gateway is not ready; "" when it is.

    It is ready once one model has a loaded champion and no champion is still being loaded. A champion that
    cannot be loaded does not count: one broken model must not take the others out of service. ``/health``
    reports it. Where models are loaded on demand, it is ready once the ledger has answered for all of them.
    """
    loaded = 0
    for name, state in runtime.states.items():
        table = state.table
        if table.champion is not None or runtime.on_demand(state):
            loaded += 1
        elif runtime.residency is not None and not runtime.is_settled(state):
            return f"The ledger has not answered for model '{name}' yet."
        elif table.traffic.champion not in (None, *runtime.controller.load_failures(name)):
            return f"Model '{name}' is being loaded."
    return "" if loaded else "No model has a loaded version yet."


def routes(runtime: "Runtime") -> APIRouter:
    """Return the metadata routes of the Open Inference Protocol and of ``mlflow.deployments``."""
    router = APIRouter()

    @router.get("/v2", tags=["open inference"], summary="The server's name and version")
    async def server() -> ServerMetadata:
        return ServerMetadata(name="homeostat", version=runtime.version, extensions=[])

    @router.get("/v2/health/live", tags=["open inference"], summary="Liveness")
    async def live() -> Live:
        return Live(live=True)

    @router.get(
        "/v2/health/ready",
        tags=["open inference"],
        summary="Readiness",
        responses=_NOT_READY,
        response_model=Ready,
    )
    async def ready() -> Response:
        why = not_ready_reason(runtime)
        body: dict[str, Any] = {"live": True, "ready": not why}
        return JSONResponse(body | ({"error": why} if why else {}), 503 if why else 200)

    @router.get("/v2/models/{model}", tags=["open inference"], summary="A model's inputs and outputs")
    async def metadata(model: str) -> ModelMetadata:
        return _metadata(runtime, runtime.state(model))

    @router.get(
        "/v2/models/{model}/ready",
        tags=["open inference"],
        summary="Readiness of a model",
        responses=_MODEL_NOT_READY,
        response_model=ModelReady,
    )
    async def model_ready(model: str) -> Response:
        state = runtime.state(model)
        is_ready = state.table.champion is not None or runtime.on_demand(state)
        return JSONResponse({"name": model, "ready": is_ready}, 200 if is_ready else 503)

    @router.get(
        "/v2/models/{model}/versions/{version}",
        tags=["open inference"],
        summary="Inputs and outputs of a version",
    )
    async def version_metadata(model: str, version: str) -> ModelMetadata:
        state = runtime.state(model)
        _known(state.table, version)
        return _metadata(runtime, state)

    @router.get(
        "/v2/models/{model}/versions/{version}/ready",
        tags=["open inference"],
        summary="Readiness of a version",
        responses=_MODEL_NOT_READY,
        response_model=ModelReady,
    )
    async def version_ready(model: str, version: str) -> Response:
        state = runtime.state(model)
        _known(state.table, version)
        champion = state.table.traffic.champion
        awaited = runtime.on_demand(state) and champion is not None and champion.version == version
        is_ready = awaited or state.table.find(version) is not None
        return JSONResponse({"name": model, "ready": is_ready}, 200 if is_ready else 503)

    @router.get("/api/2.0/endpoints/", tags=["mlflow deployments"], summary="All served models as endpoints")
    async def endpoints() -> Endpoints:
        return Endpoints(endpoints=[_endpoint(name) for name in runtime.states])

    @router.get("/api/2.0/endpoints/{model}", tags=["mlflow deployments"], summary="One model as an endpoint")
    async def endpoint(model: str) -> Endpoint:
        return _endpoint(runtime.state(model).config.name)

    return router


def _known(table: RoutingTable, version: str) -> None:
    """Raise 404 unless the routing contains this version."""
    traffic = table.traffic
    refs = [traffic.champion, traffic.previous, traffic.active.candidate if traffic.active else None]
    if table.find(version) is None and all(ref is None or ref.version != version for ref in refs):
        raise HTTPException(404, "This version is not the champion, the candidate or the previous version.")


def _endpoint(model: str) -> Endpoint:
    return Endpoint(
        name=model,
        endpoint_type="mlflow/scoring",
        model=EndpointModel(name=model, provider="homeostat"),
        endpoint_url=f"/endpoints/{model}/invocations",
    )


def _metadata(runtime: "Runtime", state: ServedModel) -> ModelMetadata:
    """Inputs as model.yaml declares them; outputs with the datatype of the champion's classes."""
    spec, table = state.spec, state.table
    loaded = [each.ref for each in (table.champion, table.candidate, table.previous) if each is not None]
    if runtime.on_demand(state) and table.traffic.champion is not None:
        loaded = [table.traffic.champion]
    inputs = [
        _tensor(name, "FP64" if numeric else "BYTES")
        for name, numeric in zip(spec.names, spec.numeric, strict=True)
    ]
    outputs = [_tensor("predict", _prediction_datatype(runtime, state))]
    if state.config.task == "classification":
        probabilities = TensorMetadata(name="probabilities", datatype="FP64", shape=[-1, -1])
        classes = _tensor("classes", outputs[0].datatype)
        outputs += [_tensor("confidence", "FP64"), probabilities, classes]
    return ModelMetadata(
        name=spec.model,
        versions=list(dict.fromkeys(ref.version for ref in loaded)),
        platform="homeostat_sklearn",
        inputs=inputs,
        outputs=outputs,
    )


def _tensor(name: str, datatype: str) -> TensorMetadata:
    return TensorMetadata(name=name, datatype=datatype, shape=[-1])


def _prediction_datatype(runtime: "Runtime", state: ServedModel) -> str:
    """The datatype of ``predict``: that of the champion's classes."""
    if state.config.task == "regression":
        return "FP64"
    serving, named = state.table.champion, state.table.traffic.champion
    ref = serving.ref if serving is not None else named
    facts = runtime.bundle_cache.facts(state.name, ref) if ref is not None else None
    kinds = {type(each) for each in (facts.classes if facts is not None else ())}
    return _DATATYPES.get(kinds.pop(), "BYTES") if len(kinds) == 1 else "BYTES"
