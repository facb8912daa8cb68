"""Response bodies as bytes: MLflow's ``{"predictions": [...]}``, and errors with one message."""

from __future__ import annotations

from typing import Any

import orjson


def predictions(values: list[Any]) -> bytes:
    """Return MLflow's response. NaN, which JSON lacks, is written as null."""
    return orjson.dumps({"predictions": values})


def with_classes(values: list[Any], classes: list[Any] | None) -> bytes:
    """Return MLflow's response of predictions or lists of probabilities, and the classes where given."""
    return orjson.dumps({"predictions": values} | ({"classes": classes} if classes is not None else {}))


def error(message: str, code: str = "BAD_REQUEST") -> bytes:
    """Return an error under the keys that clients of MLflow, FastAPI and Open Inference read."""
    return orjson.dumps({"error_code": code, "message": message, "detail": message, "error": message})


CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "REQUEST_TIMEOUT",
    409: "CONFLICT",
    413: "TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE_CONTENT",
    429: "TOO_MANY_REQUESTS",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def to_json(value: dict[str, Any]) -> bytes:
    """Return any small JSON response."""
    return orjson.dumps(value)
