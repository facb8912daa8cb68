"""What the gateway answers, as JSON Schemas: predictions, metadata, state, and a refusal's one sentence."""

from typing import Any

Schema = dict[str, Any]

SENTENCE: Schema = {
    "type": "object",
    "description": "An error: one sentence, under the names by which each protocol's clients look for it.",
    "required": ["error_code", "message", "detail", "error"],
    "properties": {name: {"type": "string"} for name in ("error_code", "message", "detail", "error")},
}
WHY = {
    400: "The request is wrong; the sentence says how.",
    401: "No token, and one is needed.",
    403: "A wrong token, or one without the scope.",
    404: "No such model or version.",
    405: "Another method is meant.",
    408: "The request was not here whole in time.",
    409: "It cannot be done now, and why.",
    413: "More bytes or rows than one request may bring.",
    415: "Another Content-Type is meant.",
    429: "More requests than one client may send.",
    431: "The headers are too large.",
    500: "The model failed on these rows; no version could answer.",
    503: "Not now; try again.",
    504: "The model did not answer in time.",
}
DOOR = (401, 403, 405, 408, 413, 429, 431, 503)
HEADERS = {
    "X-Request-Id": "The request's own id, or the one that was made for it; prediction ids are built on it.",
    "X-Homeostat-Version": "The version that answered; several when the rows fell into both cohorts.",
    "X-Homeostat-Variant": "champion, control, candidate or pinned.",
}
PREDICTIONS: Schema = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array"}},
}
_OUTPUT: Schema = {
    "type": "object",
    "required": ["name", "datatype", "shape", "data"],
    "properties": {
        "name": {"enum": ["predict", "confidence"]},
        "datatype": {"enum": ["BOOL", "INT64", "FP64", "BYTES"]},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array"},
    },
}
INFERRED: Schema = {
    "type": "object",
    "required": ["model_name", "model_version", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "outputs": {"type": "array", "items": _OUTPUT},
    },
}
_METADATA: Schema = {
    "type": "object",
    "required": ["name", "versions", "platform", "inputs", "outputs"],
    "properties": {
        "name": {"type": "string"},
        "versions": {"type": "array", "items": {"type": "string"}},
        "platform": {"type": "string"},
        **{
            side: {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "datatype", "shape"],
                    "properties": {
                        "name": {"type": "string"},
                        "datatype": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer"}},
                    },
                },
            }
            for side in ("inputs", "outputs")
        },
    },
}
COUNTS: Schema = {
    "type": "object",
    "required": ["accepted", "duplicates", "conflicts"],
    "properties": {name: {"type": "integer"} for name in ("accepted", "duplicates", "conflicts")},
}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


_TEXT: Schema = {"type": "string"}
_TRUE: Schema = {"type": "boolean"}
_READY = _object(name=_TEXT, ready=_TRUE)
_ENDPOINT = _object(name=_TEXT, endpoint_type=_TEXT, endpoint_url=_TEXT)
_MODEL = _object(name=_TEXT, task=_TEXT, sentence=_TEXT, ready=_TRUE, loaded={"type": "object"})
_CHANGED = _object(kind=_TEXT, reason=_TEXT, traffic={"type": "object"})
#: What a good answer of the control side holds at least.
ANSWERS: dict[str, Schema] = {
    "/ping": _object(status=_TEXT),
    "/health": _object(status={"enum": ["ok", "degraded", "down"]}),
    "/version": _object(version=_TEXT, gateway=_TEXT),
    "/metrics": _TEXT,
    "/models": _object(models={"type": "array", "items": _MODEL}),
    "/models/{model}": _MODEL,
    "/v2": _object(name=_TEXT, version=_TEXT, extensions={"type": "array", "items": _TEXT}),
    "/v2/health/live": _object(live=_TRUE),
    "/v2/health/ready": _object(live=_TRUE, ready=_TRUE),
    "/v2/models/{model}": _METADATA,
    "/v2/models/{model}/ready": _READY,
    "/v2/models/{model}/versions/{version}": _METADATA,
    "/v2/models/{model}/versions/{version}/ready": _READY,
    "/api/2.0/endpoints/": _object(endpoints={"type": "array", "items": _ENDPOINT}),
    "/api/2.0/endpoints/{model}": _ENDPOINT,
    "/control/models/{model}/rollback": _CHANGED,
    "/control/models/{model}/approve": _CHANGED,
    "/control/models/{model}/promote": _CHANGED,
    "/control/flush": {"type": "object"},
}
#: Where 503 is an answer of the same kind, and not an error's sentence.
SAYS_503 = frozenset(path for path in ANSWERS if path.startswith("/v2") and path.endswith("/ready"))
