"""The gateway's OpenAPI description: every route, with what this installation's models take and answer.

What FastAPI derives from the control side's functions is completed here; scoring and labels, which are
answered before FastAPI sees them, are described by hand.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from homeostat.serving.auth.guard import scope_of
from homeostat.serving.auth.tokens import CONTROL, LABEL, PREDICT
from homeostat.serving.http.protocols import request_schemas as schemas
from homeostat.serving.http.protocols import response_schemas as answers
from homeostat.serving.http.protocols.request_schemas import Schema

if TYPE_CHECKING:
    from homeostat.serving.runtime import Runtime
    from homeostat.serving.scoring_request import InputSpec

BEARER = "HTTPBearer"


def stubs() -> APIRouter:
    """Say 405 for another method on a path that the app answers before FastAPI sees it."""
    routes = APIRouter()

    async def never() -> None:
        raise HTTPException(405, "Use POST.", {"Allow": "POST"})

    for path in _scoring_paths(()):
        routes.add_api_route(path, never, methods=["POST"], include_in_schema=False)
    return routes


def describe(app: FastAPI, runtime: "Runtime") -> None:
    """Give the application its description, built when it is first asked for."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _whole(app, runtime)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]  # FastAPI's documented way


def _whole(app: FastAPI, runtime: "Runtime") -> dict[str, Any]:
    doc = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        openapi_version="3.1.0",
    )
    components = doc.setdefault("components", {})
    known = components.setdefault("schemas", {})
    for left_over in ("HTTPValidationError", "ValidationError", "Sentence"):
        known.pop(left_over, None)
    known["Sentence"] = answers.SENTENCE
    components.setdefault("securitySchemes", {})[BEARER] = {
        "type": "http",
        "scheme": "bearer",
        "description": "A token with the scope of the call: predict, label, read or control.",
    }
    specs = [state.spec for state in runtime.states.values()]
    tasks = {state.config.name: state.config.task for state in runtime.states.values()}
    known |= _model_schemas(specs, tasks)
    doc["paths"] |= {path: {"post": op} for path, op in _scoring_paths(specs).items()}
    needs = runtime.door.keyring.needs_token
    names = [spec.model for spec in specs]
    for path, item in doc["paths"].items():
        for method, operation in item.items():
            _complete(operation, path, method, names)
            scope = _scope(path, method)
            operation["security"] = _security(scope, needs(scope) if scope else False)
    return doc


def _model_schemas(specs: "Iterable[InputSpec]", tasks: Mapping[str, str]) -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for spec in specs:
        found |= {
            f"{spec.model}.scoring": schemas.scoring(spec),
            f"{spec.model}.csv": schemas.csv_text(spec),
            f"{spec.model}.infer": schemas.infer(spec),
            f"{spec.model}.labels": schemas.labels(tasks[spec.model]),
        }
    return found


def _scoring_paths(specs: "Iterable[InputSpec]") -> dict[str, dict[str, Any]]:
    """The operations that the app answers itself, by path."""
    specs = list(specs)
    score = _operation(
        "scoring",
        "Score rows (MLflow's protocol)",
        {
            "application/json": _content(
                specs, "scoring", lambda s: {"dataframe_records": [schemas.example_row(s)]}
            ),
            "text/csv": _content(specs, "csv", _csv_example),
        },
        answers.PREDICTIONS,
        answers.HEADERS,
    )
    infer = _operation(
        "open inference",
        "Infer (Open Inference Protocol v2)",
        {"application/json": _content(specs, "infer", schemas.infer_example)},
        answers.INFERRED,
        answers.HEADERS,
    )
    label = _operation(
        "scoring",
        "Hand in the truth about earlier predictions",
        {"application/json": _content(specs, "labels", lambda _: {"labels": [{"id": "42", "label": 1}]})},
        answers.COUNTS,
        {"X-Request-Id": answers.HEADERS["X-Request-Id"]},
    )
    only = score | {
        "summary": "Score rows with the only served model, or with the one that X-Homeostat-Model names"
    }
    pinned = infer | {"summary": "Infer with one loaded version, whatever the routing says"}
    return {
        "/invocations": _named(only, "invocations"),
        "/models/{model}/invocations": _named(score, "score"),
        "/endpoints/{model}/invocations": _named(score, "score_endpoint"),
        "/models/{model}/labels": _named(label, "labels"),
        "/v2/models/{model}/infer": _named(infer, "infer"),
        "/v2/models/{model}/versions/{version}/infer": _named(pinned, "infer_version"),
    }


def _named(operation: dict[str, Any], name: str) -> dict[str, Any]:
    return operation | {"operationId": name, "responses": dict(operation["responses"])}


def _operation(
    tag: str, summary: str, content: dict[str, Any], answer: Schema, headers: dict[str, str]
) -> dict[str, Any]:
    told = {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}
    good = {
        "description": "The answer.",
        "headers": told,
        "content": {"application/json": {"schema": answer}},
    }
    wrong = {str(status): _error(status) for status in (400, 404, 415, 500, 504)}
    return {
        "tags": [tag],
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": good} | wrong,
    }


def _content(specs: "list[InputSpec]", kind: str, example: "Callable[[InputSpec], Any]") -> dict[str, Any]:
    """One model's schema; with several models any of theirs, for a path cannot choose a schema."""
    each = [{"$ref": f"#/components/schemas/{spec.model}.{kind}"} for spec in specs]
    schema = each[0] if len(each) == 1 else {"anyOf": each} if each else {}
    return {"schema": schema, "examples": {spec.model: {"value": example(spec)} for spec in specs}}


def _csv_example(spec: "InputSpec") -> str:
    row = schemas.example_row(spec)
    return ",".join(spec.names) + "\n" + ",".join(str(row[name]) for name in spec.names) + "\n"


def _complete(operation: dict[str, Any], path: str, method: str, names: list[str]) -> None:
    """Put down parameters as they are checked, and the refusals that any call may meet."""
    parameters = [p for p in operation.get("parameters", ()) if p["in"] != "path"]
    if "{model}" in path:
        parameters.append(
            _parameter("model", {"type": "string", "enum": names} if names else {"type": "string"})
        )
    if "{version}" in path:
        parameters.append(_parameter("version", {"type": "string", "pattern": "^[0-9]{1,18}$"}))
    if parameters:
        operation["parameters"] = parameters
    responses = operation["responses"]
    responses.pop("422", None)
    if path in answers.ANSWERS:
        kind = "text/plain" if path == "/metrics" else "application/json"
        answer = {kind: {"schema": answers.ANSWERS[path]}}
        responses["200"] = {"description": "The answer.", "content": answer}
    named = (400, 404) if "{" in path else ()
    invalid = (400,) if method == "post" else ()
    for status in (*named, *invalid, *answers.DOOR):
        responses[str(status)] = _error(status) | {
            key: value for key, value in responses.get(str(status), {}).items() if key == "description"
        }
    if path in answers.SAYS_503:
        responses["503"] = {"description": "Not yet.", "content": responses["200"]["content"]}


def _parameter(name: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Sentence"}
    return {"description": answers.WHY[status], "content": {"application/json": {"schema": schema}}}


def _scope(path: str, method: str) -> str:
    if method == "post" and not path.startswith(f"/{CONTROL}/"):
        return LABEL if path.endswith("/labels") else PREDICT
    return scope_of(path)


def _security(scope: str, needed: bool) -> list[dict[str, list[str]]]:  # noqa: FBT001  # said by name at its one caller
    """A token; beside it nothing at all where the installation asks for none."""
    if not scope:
        return []
    return [{BEARER: []}] if needed else [{BEARER: []}, {}]
