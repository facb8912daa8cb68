"""The gateway's OpenAPI document: every route, with the schemas of the models that are served.

FastAPI generates the control API from its functions and pydantic models. Scoring and labels bypass FastAPI;
they are added here, with request schemas from each model.yaml.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException

from homeostat.config import ModelConfig
from homeostat.serving.auth.guard import required_scope
from homeostat.serving.auth.tokens import CONTROL, LABEL, PREDICT
from homeostat.serving.http.protocols import request_schemas
from homeostat.serving.http.protocols.request_schemas import Schema
from homeostat.serving.http.protocols.response_schemas import (
    COMMON_ERRORS,
    ERRORS,
    HEADERS,
    ErrorResponse,
    InferResponse,
    LabelCounts,
    Predictions,
)

if TYPE_CHECKING:
    from homeostat.serving.inference.routing import ServedModel
    from homeostat.serving.runtime import Runtime
    from homeostat.serving.scoring_request import InputSpec

BEARER = "HTTPBearer"
_REF = "#/components/schemas/{model}"


def method_not_allowed_routes() -> APIRouter:
    """Return routes that give 405 for other methods on the paths that bypass FastAPI."""
    router = APIRouter()

    async def use_post() -> None:
        raise HTTPException(405, "Use POST.", {"Allow": "POST"})

    for path in _scoring_paths([]):
        router.add_api_route(path, use_post, methods=["POST"], include_in_schema=False)
    return router


def install(app: FastAPI, runtime: "Runtime") -> None:
    """Let the application generate this document, when it is first requested."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app, runtime)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _document(app: FastAPI, runtime: "Runtime") -> dict[str, Any]:
    doc = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    components = doc.setdefault("components", {})
    components.setdefault("securitySchemes", {})[BEARER] = {
        "type": "http",
        "scheme": "bearer",
        "description": "A token with the scope of the call: predict, label, read or control.",
    }
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):  # invalid bodies are 400 with an ErrorResponse
        schemas.pop(unused, None)
    specs = [state.spec for state in runtime.states.values()]
    labels = {name: _label_example(runtime, state) for name, state in runtime.states.items()}
    schemas |= _response_models(ErrorResponse, Predictions, InferResponse, LabelCounts)
    for state in runtime.states.values():
        schemas |= _request_models(state.spec, state.config)
    doc["paths"] |= {path: {"post": operation} for path, operation in _scoring_paths(specs, labels).items()}
    needs_token = runtime.access_guard.token_store.needs_token
    for path, item in doc["paths"].items():
        for method, operation in item.items():
            _set_path_parameters(operation, path, [spec.model for spec in specs])
            _add_errors(operation, path, method)
            scope = _scope(path, method)
            operation["security"] = _security(scope, needed=bool(scope) and needs_token(scope))
    return doc


def _response_models(*models: type[BaseModel]) -> dict[str, Schema]:
    _, schema = models_json_schema([(model, "serialization") for model in models], ref_template=_REF)
    return dict(schema["$defs"])


def _label_example(runtime: "Runtime", state: "ServedModel") -> str | int:
    """Return a label that is accepted now."""
    classes = runtime.label_classes(state)
    return 1 if classes is None or "1" in classes else min(classes)


def _request_models(spec: "InputSpec", config: ModelConfig) -> dict[str, Schema]:
    return {
        f"{spec.model}.scoring": request_schemas.scoring(spec),
        f"{spec.model}.csv": request_schemas.csv_text(spec),
        f"{spec.model}.infer": request_schemas.infer(spec),
        f"{spec.model}.labels": request_schemas.labels(config),
    }


def _scoring_paths(
    specs: "Iterable[InputSpec]", labels: Mapping[str, str | int] = MappingProxyType({})
) -> dict[str, dict[str, Any]]:
    """Return the operations that bypass FastAPI, by path; ``labels`` has a label of each model."""
    specs = list(specs)
    score = _operation(
        "scoring",
        "Score rows (MLflow's protocol)",
        {
            "application/json": _content(
                specs, "scoring", lambda s: {"dataframe_records": [request_schemas.example_row(s)]}
            ),
            "text/csv": _content(specs, "csv", _csv_example),
        },
        Predictions,
        HEADERS,
    )
    infer = _operation(
        "open inference",
        "Infer (Open Inference Protocol v2)",
        {"application/json": _content(specs, "infer", request_schemas.infer_example)},
        InferResponse,
        HEADERS,
    )
    label = _operation(
        "scoring",
        "Send the labels of earlier predictions",
        {
            "application/json": _content(
                specs, "labels", lambda s: {"labels": [{"id": "42", "label": labels[s.model]}]}
            )
        },
        LabelCounts,
        {"X-Request-Id": HEADERS["X-Request-Id"]},
    )
    label["responses"]["422"] = _error(422)
    any_model = score | {"summary": "Score rows with the only model, or with the one in X-Homeostat-Model"}
    pinned = infer | {"summary": "Infer with one loaded version, whatever the routing"}
    return {
        "/invocations": _with_id(any_model, "invocations"),
        "/models/{model}/invocations": _with_id(score, "score"),
        "/endpoints/{model}/invocations": _with_id(score, "score_endpoint"),
        "/models/{model}/labels": _with_id(label, "labels"),
        "/v2/models/{model}/infer": _with_id(infer, "infer"),
        "/v2/models/{model}/versions/{version}/infer": _with_id(pinned, "infer_version"),
    }


def _with_id(operation: dict[str, Any], operation_id: str) -> dict[str, Any]:
    return operation | {"operationId": operation_id, "responses": dict(operation["responses"])}


def _operation(
    tag: str, summary: str, content: dict[str, Any], response: type[BaseModel], headers: dict[str, str]
) -> dict[str, Any]:
    success = {
        "description": "Successful Response",
        "headers": {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        },
        "content": {"application/json": {"schema": {"$ref": _REF.format(model=response.__name__)}}},
    }
    return {
        "tags": [tag],
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": success} | {str(status): _error(status) for status in (400, 404, 415, 500, 504)},
    }


def _content(specs: "list[InputSpec]", kind: str, example: "Callable[[InputSpec], Any]") -> dict[str, Any]:
    """One model's schema; with several models any of theirs, because a path cannot choose a schema."""
    refs = [{"$ref": _REF.format(model=f"{spec.model}.{kind}")} for spec in specs]
    schema = refs[0] if len(refs) == 1 else {"anyOf": refs} if refs else {}
    return {"schema": schema, "examples": {spec.model: {"value": example(spec)} for spec in specs}}


def _csv_example(spec: "InputSpec") -> str:
    row = request_schemas.example_row(spec)
    return ",".join(spec.names) + "\n" + ",".join(str(row[name]) for name in spec.names) + "\n"


def _set_path_parameters(operation: dict[str, Any], path: str, models: list[str]) -> None:
    """Describe path parameters as they are checked."""
    parameters = [p for p in operation.get("parameters", ()) if p["in"] != "path"]
    if "{model}" in path:
        schema = {"type": "string", "enum": models} if models else {"type": "string"}
        parameters.append({"name": "model", "in": "path", "required": True, "schema": schema})
    if "{version}" in path:
        schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}
        parameters.append({"name": "version", "in": "path", "required": True, "schema": schema})
    if parameters:
        operation["parameters"] = parameters


def _add_errors(operation: dict[str, Any], path: str, method: str) -> None:
    """Add the errors that any call can return, unless the route describes them itself."""
    responses = operation["responses"]
    if not path.endswith("/labels"):
        responses.pop("422", None)  # FastAPI's: an invalid body is 400
    invalid_path = (400, 404) if "{" in path else ()
    invalid_body = (400,) if method == "post" else ()
    for status in (*invalid_path, *invalid_body, *COMMON_ERRORS):
        responses.setdefault(str(status), _error(status))


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model="ErrorResponse")}
    return {"description": ERRORS[status], "content": {"application/json": {"schema": schema}}}


def _scope(path: str, method: str) -> str:
    if method == "post" and not path.startswith(f"/{CONTROL}/"):
        return LABEL if path.endswith("/labels") else PREDICT
    return required_scope(path)


def _security(scope: str, *, needed: bool) -> list[dict[str, list[str]]]:
    """A token, or nothing where the installation needs none."""
    if not scope:
        return []
    return [{BEARER: []}] if needed else [{BEARER: []}, {}]
