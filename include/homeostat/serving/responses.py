"""Answers as bytes: MLflow's ``{"predictions": [...]}``, and errors as one sentence."""

from __future__ import annotations

from typing import Any

import orjson


def predictions(values: list[Any]) -> bytes:
    """MLflow's answer. A NaN, which JSON does not know, is written as null."""
    return orjson.dumps({"predictions": values})


def error(sentence: str, code: str = "BAD_REQUEST") -> bytes:
    """An error under the names by which MLflow's, FastAPI's and Open Inference's clients look for it."""
    return orjson.dumps({"error_code": code, "message": sentence, "detail": sentence, "error": sentence})


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
    429: "TOO_MANY_REQUESTS",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def plain(value: dict[str, Any]) -> bytes:
    """Any small JSON answer."""
    return orjson.dumps(value)
