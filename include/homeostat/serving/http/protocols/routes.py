"""The scoring paths of the other protocols. All further paths belong to the control API."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from homeostat.serving.scoring_request import BadRequest

_NAME = re.compile(rb"[a-z0-9][a-z0-9_-]{0,62}")
_VERSION = re.compile(r"[0-9]{1,18}")
#: The message for an invalid model name, which is never repeated.
BAD_NAME = (
    "Invalid model name: use lower-case letters, digits, '-' and '_', without slashes, dots or escapes."
)


def scoring_route(path: bytes) -> tuple[str | None, str | None]:
    """Return model and action (``infer`` or ``invocations``) of a raw path; (None, None) for any other.

    ``/v2/models/{m}[/versions/{v}]/infer`` belongs to the Open Inference Protocol,
    ``/endpoints/{m}/invocations`` to ``mlflow.deployments``.

    Raises
    ------
    BadRequest
        The model's name is invalid.
    """
    if path.startswith(b"/endpoints/"):
        name, end, action = path[len(b"/endpoints/") :].partition(b"/")
        if end and action == b"invocations":
            return _name(name), "invocations"
    elif path.startswith(b"/v2/models/"):
        parts = path[len(b"/v2/models/") :].split(b"/")
        model = _name(parts[0])
        if parts[1:] == [b"infer"] or (len(parts) == 4 and parts[1] == b"versions" and parts[3] == b"infer"):
            return model, "infer"
    return None, None


def version_in(path: bytes) -> str | None:
    """Return the version in an infer path, or None.

    Raises
    ------
    BadRequest
        404 for an invalid version.
    """
    parts = path.split(b"/")
    if len(parts) < 6 or parts[4] != b"versions":
        return None
    text = unquote_to_bytes(parts[5]).decode("latin-1")
    if not _VERSION.fullmatch(text):
        raise BadRequest("No such version: versions are whole numbers, as in the registry.", 404)
    return text


def _name(raw: bytes) -> str:
    if not _NAME.fullmatch(raw):
        raise BadRequest(BAD_NAME)
    return raw.decode("ascii")
