"""The paths of scoring and labels, in every protocol. All further paths belong to the control API."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from homeostat.serving.scoring_request import BadRequest

_NAME = re.compile(rb"[a-z0-9][a-z0-9_-]{0,62}")
_VERSION = re.compile(r"[0-9]{1,18}")
_BAD_NAME = (
    "Invalid model name: use lower-case letters, digits, '-' and '_', without slashes, dots or escapes."
)


class Route(NamedTuple):
    """A model (None where the path names none) and an action: ``invocations``, ``labels`` or ``infer``."""

    model: str | None
    action: str


def scoring_route(path: bytes) -> Route | None:
    """Return the route of a raw path; None for a path of the control API.

    ``/invocations`` and ``/models/{m}/invocations`` belong to MLflow's scoring protocol,
    ``/endpoints/{m}/invocations`` to ``mlflow.deployments``, ``/v2/models/{m}[/versions/{v}]/infer`` to the
    Open Inference Protocol.

    Raises
    ------
    BadRequest
        The model's name is invalid. Names under ``/control/models/`` are checked too, so that slashes, dots
        and escapes reach nothing else.
    """
    if path == b"/invocations":
        return Route(None, "invocations")
    if path.startswith(b"/models/"):
        rest = path[len(b"/models/") :]
        name, _, action = rest.rpartition(b"/")
        model = model_name(name or rest)
        return Route(model, action.decode()) if name and action in (b"invocations", b"labels") else None
    if path.startswith(b"/control/models/"):
        rest = path[len(b"/control/models/") :]
        model_name(rest.rpartition(b"/")[0] or rest)
    elif path.startswith(b"/endpoints/"):
        name, _, action = path[len(b"/endpoints/") :].partition(b"/")
        return Route(model_name(name), "invocations") if action == b"invocations" else None
    elif path.startswith(b"/v2/models/"):
        name, *rest_parts = path[len(b"/v2/models/") :].split(b"/")
        model = model_name(name)
        if rest_parts == [b"infer"] or (rest_parts[:1] == [b"versions"] and rest_parts[2:] == [b"infer"]):
            return Route(model, "infer")
    return None


def route_template(route: Route) -> str:
    """Return the path without the model's name, for traces: ``/models/{model}/invocations``."""
    if route.action == "infer":
        return "/v2/models/{model}/infer"
    return f"/models/{{model}}/{route.action}" if route.model is not None else f"/{route.action}"


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


def model_name(raw: bytes) -> str:
    """Return a valid model name; BadRequest, which does not repeat it, for an invalid one."""
    if not _NAME.fullmatch(raw):
        raise BadRequest(_BAD_NAME)
    return raw.decode("ascii")
