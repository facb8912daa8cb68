"""The gateway's response bodies as pydantic models: predictions, metadata, status, and errors."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import SkipJsonSchema

#: Why a status is returned.
ERRORS = {
    400: "The request is invalid; the message says why.",
    401: "A token is needed and none was sent.",
    403: "The token is unknown or lacks the scope.",
    404: "There is no such model or version.",
    405: "The path does not support this method.",
    408: "The request was not complete in time.",
    409: "The current state does not allow it; the message says why.",
    413: "The request has too many bytes or rows.",
    415: "The Content-Type or Content-Encoding is not supported.",
    422: "A label is none of the model's classes; the message names them.",
    429: "The client sent too many requests.",
    431: "The headers are too large or too many.",
    500: "No version could predict these rows.",
    503: "Temporarily unavailable; try again.",
    504: "The model did not respond in time.",
}
#: Errors that every call can return: from access control, connection limits and overload.
COMMON_ERRORS = (401, 403, 405, 408, 413, 429, 431, 503)
#: Headers of scoring responses.
HEADERS = {
    "X-Request-Id": "The request's id as sent, or a generated one; prediction ids are derived from it.",
    "X-Homeostat-Version": "The version that predicted; several when the rows fell into both cohorts.",
    "X-Homeostat-Variant": "champion, control, candidate or pinned.",
}


class ErrorResponse(BaseModel):
    """An error: the same message under the keys that clients of each protocol read."""

    error_code: str
    message: str
    detail: str
    error: str


# Scoring


class Predictions(BaseModel):
    """MLflow's response; ``classes`` where ``params`` ask for them."""

    predictions: list[Any]
    classes: list[Any] | SkipJsonSchema[None] = None


class OutputTensor(BaseModel):
    """An output of the Open Inference Protocol."""

    name: Literal["predict", "confidence", "probabilities", "classes"]
    datatype: Literal["BOOL", "INT64", "FP64", "BYTES"]
    shape: list[int]
    data: list[Any]


class InferResponse(BaseModel):
    """The response of the Open Inference Protocol."""

    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str
    id: str = ""
    outputs: list[OutputTensor]


class LabelCounts(BaseModel):
    """What became of the labels of one request.

    ``predicted_here`` counts the labels whose prediction the responding process made lately. The others may
    be of another worker or gateway, older, or wrong.
    """

    accepted: int
    duplicates: int
    conflicts: int
    predicted_here: int


# Metadata of the Open Inference Protocol and of mlflow.deployments


class ServerMetadata(BaseModel):
    """The server's name and version."""

    name: str
    version: str
    extensions: list[str]


class Live(BaseModel):
    """Liveness of the process."""

    live: bool


class Ready(BaseModel):
    """Readiness of the gateway; ``error`` says why it is not ready."""

    live: bool
    ready: bool
    error: str = ""


class ModelReady(BaseModel):
    """Readiness of a model or version."""

    name: str
    ready: bool


class TensorMetadata(BaseModel):
    """Name, datatype and shape of an input or output; -1 is any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model's versions, inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class EndpointModel(BaseModel):
    """The model behind an endpoint."""

    name: str
    provider: str


class Endpoint(BaseModel):
    """A served model as ``mlflow.deployments`` lists it."""

    name: str
    endpoint_type: str
    model: SkipJsonSchema[EndpointModel]  # undocumented: tools would take it for a value of {model} in paths
    endpoint_url: str
    limit: None = None


class Endpoints(BaseModel):
    """All served models as ``mlflow.deployments`` lists them."""

    endpoints: list[Endpoint]
    next_page_token: None = None


# Status and control


class Ping(BaseModel):
    """SageMaker's readiness."""

    status: Literal["ok"]


class Health(BaseModel):
    """``degraded`` with the problems; only ``status`` for callers without the scope ``read``."""

    model_config = ConfigDict(extra="allow")

    status: Literal["ok", "degraded"]


class GatewayVersion(BaseModel):
    """The gateway's release and name."""

    version: str
    gateway: str


class ModelStatus(BaseModel):
    """One model: traffic and rollout, loaded versions, health checks, counters."""

    model_config = ConfigDict(extra="allow")

    name: str
    task: str
    sentence: str
    served: dict[str, str]
    ready: bool
    loaded: dict[str, str]


class ModelList(BaseModel):
    """Every served model."""

    models: list[ModelStatus]


class HealthState(BaseModel):
    """A state in one word and one sentence; docs/reasons.md explains the words."""

    model_config = ConfigDict(extra="allow")

    state: str
    level: Literal["bad", "warning", "notice", "good"]
    sentence: str
    since: str | None


class FleetRow(HealthState):
    """One model of the fleet; ``left`` is what a person has to do, "" for nothing.

    ``score`` is the mean of the last checks, ``newest_score`` that of the newest one alone.
    """

    model: str
    left: str
    champion: str | None
    score: float | None
    newest_score: float | None
    score_text: str
    baseline: float | None
    drifted_share: float | None
    checked_at: str | None


class FleetHealth(BaseModel):
    """Every model, the worst first."""

    now: str
    models: list[FleetRow]


class ModelHealth(BaseModel):
    """One model: its state, why, what was done, what is left and what comes; and the past as columns."""

    model_config = ConfigDict(extra="allow")

    model: str
    now: str
    range: Literal["7d", "30d", "90d", "all"]
    state: HealthState
    also: list[HealthState]
    score: dict[str, Any] | None
    done: list[dict[str, Any]]
    left: list[str]
    next: list[dict[str, Any]]
    settings: dict[str, str]
    series: dict[str, list[Any]]
    bands: list[dict[str, Any]]
    marks: list[dict[str, Any]]
    heat_map: dict[str, Any]
    versions: list[dict[str, Any]]
    links: dict[str, str]


class TrafficChange(BaseModel):
    """The ledger event that a control call caused, and the traffic after it."""

    kind: str
    reason: str
    traffic: dict[str, Any]
