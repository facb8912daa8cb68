"""The ASGI application: scoring and labels directly, everything else through FastAPI."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import HomeostatError
from homeostat.ports import Ports
from homeostat.serving import responses
from homeostat.serving.http import control_api, protocols
from homeostat.serving.http.body_limits import BodyReader, ClientDisconnected
from homeostat.serving.inference.engine import ScoringResult
from homeostat.serving.inference.routing import ServedModel
from homeostat.serving.options import Options
from homeostat.serving.recorder.labels import ID_CHARACTERS, parse_labels
from homeostat.serving.request_trace import trace_stage
from homeostat.serving.runtime import LOAD_BUNDLE, Runtime
from homeostat.serving.scoring_request import NOTHING_MORE, BadRequest, Wants, parse

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]

_ID = re.compile(rb"[%s]{1,128}" % ID_CHARACTERS.encode())
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")


class Gateway:
    """The ASGI application. Its lifespan starts and stops the runtime's background work."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.control = control_api.build(runtime)
        self.bodies = BodyReader(runtime.options.max_body_bytes, runtime.options.max_held_bytes)
        self._guards_scoring = runtime.access_guard.guards_scoring
        self._traces = runtime.traces
        self._respond = self._handle if self._traces is None else self._traced

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection (ASGI 3)."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:  # a websocket: not supported
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.runtime.start()
                except Exception as error:
                    logger.exception("the gateway did not start")
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.runtime.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _path(scope)
        try:
            route = protocols.scoring_route(path)
        except BadRequest as error:
            await _send_error(send, error)
            return
        if route is None or scope["method"] != "POST":
            await self.control(scope, receive, send)
            return
        self.runtime.in_flight += 1
        try:
            await self._respond(scope, receive, send, route)
        finally:
            self.runtime.in_flight -= 1

    async def _traced(self, scope: Scope, receive: Receive, send: Send, route: protocols.Route) -> None:
        """Respond within a span of the request."""
        assert self._traces is not None  # noqa: S101  # this method is only used with one
        path = protocols.route_template(route)
        with self._traces.request(path, dict(scope["headers"]), send) as observed:
            await self._handle(scope, receive, observed, route)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, route: protocols.Route) -> None:
        """Respond to a scoring or label request: the hot path."""
        started = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        request_id = _request_id(headers)
        name, status = "", 200
        try:
            if self._guards_scoring:
                self.runtime.access_guard.authorize_scoring(scope, headers, route.action)
            state = self._state(route.model, headers)
            name = state.config.name
            if route.action == "invocations":
                body, extra = await self._invocations(state, headers, receive, request_id)
            elif route.action == "infer":
                body, extra = await self._infer(scope, state, headers, receive, request_id)
            else:
                body, extra = await self._labels(state, headers, receive)
        except BadRequest as error:
            status = error.status
            await _send_error(send, error, request_id)
        except ClientDisconnected:
            status = 499
        except Exception:  # a failed request still gets a response
            logger.exception("request %s failed", request_id)
            status = 500
            await _send_error(send, BadRequest(_INTERNAL_ERROR, 500), request_id)
        else:
            await _send(send, 200, body, [*extra, (b"x-request-id", request_id.encode())])
        if route.action != "labels":
            self.runtime.metrics.requests.labels(name, str(status)).inc()
            self.runtime.metrics.seconds.labels(name).observe(time.perf_counter() - started)

    async def _invocations(
        self, state: ServedModel, headers: Headers, receive: Receive, request_id: str
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        kind = headers.get(b"content-type", b"")
        parser = parse if kind in _JSON else protocols.rows_parser(kind)
        body = await self.bodies.read(headers, receive)
        began = time.perf_counter() if self._traces is not None else 0.0
        rows = parser(body, state.spec, max_rows=self.runtime.options.max_rows)
        if self._traces is not None:
            trace_stage("parse", began, rows.count)
        key = headers.get(b"x-homeostat-key")
        result = await self.runtime.engine.score(
            state,
            rows,
            request_id,
            key.decode("latin-1") if key else None,
            self.runtime.ports.clock.now(),
        )
        state.recent.add(request_id, rows.count)
        if rows.wants is not NOTHING_MORE:
            return _wanted(result, rows.wants), _result_headers(result)
        return responses.predictions(result.predictions), _result_headers(result)

    async def _infer(
        self, scope: Scope, state: ServedModel, headers: Headers, receive: Receive, request_id: str
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Open Inference Protocol. The body's id is only echoed, because many clients send a constant one."""
        version = protocols.version_in(_path(scope))
        protocols.json_only(headers.get(b"content-type", b""))
        body = await self.bodies.read(headers, receive)
        began = time.perf_counter() if self._traces is not None else 0.0
        request = protocols.parse_infer(body, state.spec, max_rows=self.runtime.options.max_rows)
        if self._traces is not None:
            trace_stage("parse", began, request.rows.count)
        engine, now = self.runtime.engine, self.runtime.ports.clock.now()
        if version is None:
            key = headers.get(b"x-homeostat-key")
            result = await engine.score(
                state, request.rows, request_id, key.decode("latin-1") if key else None, now
            )
            state.recent.add(request_id, request.rows.count)
        else:
            result = await engine.score_pinned(state, request.rows, request_id, version, now)
        return (
            protocols.encode_infer(
                request,
                state.config.name,
                result.version,
                result.predictions,
                result.confidence,
                result.probabilities,
            ),
            _result_headers(result),
        )

    async def _labels(
        self, state: ServedModel, headers: Headers, receive: Receive
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        runtime, traced = self.runtime, self._traces is not None
        protocols.json_only(headers.get(b"content-type", b""))
        body = await self.bodies.read(headers, receive)
        began = time.perf_counter()
        parsed = parse_labels(
            body,
            state.config,
            runtime.ports.clock.now(),
            max_rows=runtime.options.max_rows,
            classes=runtime.label_classes(state),
        )
        if traced:
            trace_stage("parse", began, len(parsed))
            began = time.perf_counter()
        taken = state.known_labels.accept(parsed)
        name = state.config.name
        if taken.new and not await runtime.label_log.add_durable(name, taken.new, len(taken.new)):
            state.known_labels.forget(taken.new)
            raise BadRequest(
                "The labels cannot be stored: disk or store unavailable. Send them again later.",
                503,
            )
        if traced:
            trace_stage("log", began, len(taken.new))
        if taken.conflicting:
            runtime.quarantine.add(name, taken.conflicting, len(taken.conflicting))
        counts = {
            "accepted": len(taken.new),
            "duplicates": taken.duplicates,
            "conflicts": len(taken.conflicting),
        }
        for outcome, count in zip(("accepted", "duplicate", "conflict"), counts.values(), strict=True):
            runtime.metrics.labels.labels(name, outcome).inc(count)
        here = sum(label.id in state.recent for label in parsed)
        return responses.to_json(counts | {"predicted_here": here}), []

    def _state(self, model: str | None, headers: Headers) -> ServedModel:
        runtime = self.runtime
        if model is None:
            header = headers.get(b"x-homeostat-model")
            if header is not None:
                model = protocols.model_name(header)
            elif len(runtime.states) == 1:
                return next(iter(runtime.states.values()))
            else:
                names = ", ".join(runtime.states) or "none"
                msg = (
                    "Name the model, as in /models/NAME/invocations or the header X-Homeostat-Model. "
                    f"Served models: {names}."
                )
                raise BadRequest(msg, 400 if runtime.states else 404)
        try:
            return runtime.state(model)
        except HomeostatError as error:
            raise BadRequest(str(error), 404) from None


def create_app(
    models: Mapping[str, ModelConfig],
    ports: Ports,
    settings: Settings,
    options: Options | None = None,
    *,
    load: str = LOAD_BUNDLE,
) -> Gateway:
    """Build the gateway's ASGI application; its lifespan starts and stops the background work.

    Parameters
    ----------
    models
        Every model of the installation; those with ``serve: none`` are ignored.
    load
        The function that loads bundles, as ``module:name``; for tests.
    """
    return Gateway(Runtime(models, ports, settings, options or Options(), load=load))


_INTERNAL_ERROR = "Internal error; the gateway's log has the details."


def _path(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path


def _wanted(result: ScoringResult, wants: Wants) -> bytes:
    """Return MLflow's response with probabilities or classes; BadRequest for a version without them."""
    found = result.probabilities
    if found is None and (wants.probabilities or wants.classes):
        raise BadRequest(
            "This model has no class probabilities: send params without predict_proba and classes."
        )
    classes = list(found.classes) if found is not None and wants.classes else None
    if found is None or not wants.probabilities:
        return responses.with_classes(result.predictions, classes)
    return responses.with_classes(found.proba.tolist(), classes)


def _result_headers(result: ScoringResult) -> list[tuple[bytes, bytes]]:
    """The response headers that name version and variant, in every protocol."""
    headers = [
        (b"x-homeostat-version", result.version.encode()),
        (b"x-homeostat-variant", result.variant.encode()),
    ]
    if result.fell_back_from:
        headers.append((b"x-homeostat-fell-back-from", result.fell_back_from.encode()))
    return headers


def _request_id(headers: Headers) -> str:
    given = headers.get(b"x-request-id") or headers.get(b"ce-id")
    if given is not None and _ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex


async def _send_error(send: Send, error: BadRequest, request_id: str = "") -> None:
    headers = [(b"x-request-id", request_id.encode())] if request_id else []
    headers.extend(getattr(error, "headers", ()))  # those of AccessDenied
    if error.status == 503:
        headers.append((b"retry-after", str(getattr(error, "retry_after", 1)).encode()))  # as of NotLoaded
    body = responses.error(error.sentence, responses.CODES.get(error.status, "ERROR"))
    await _send(send, error.status, body, headers)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = str(len(body)).encode()
    base = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*base, *headers]})
    await send({"type": "http.response.body", "body": body})
