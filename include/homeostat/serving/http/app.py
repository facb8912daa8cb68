"""The ASGI application: the hot path answered at once, everything else by FastAPI."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from homeostat.config import ModelConfig, Settings
from homeostat.config.errors import HomeostatError
from homeostat.ports import Ports
from homeostat.serving import responses as encode
from homeostat.serving.http import control_api as control
from homeostat.serving.http import protocols
from homeostat.serving.inference.engine import Answer
from homeostat.serving.inference.routing import ModelState
from homeostat.serving.options import Options
from homeostat.serving.recorder.labels import parse_labels
from homeostat.serving.runtime import LOAD_BUNDLE, Runtime
from homeostat.serving.scoring_request import BadRequest, parse

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = dict[bytes, bytes]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(rb"[A-Za-z0-9._:@/+=-]{1,128}")
_JSON = (b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8")


class Gateway:
    """The application, with its lifespan: background work starts with the server and ends with it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.control = control.build(runtime)
        self._max_body = runtime.options.max_body_bytes
        self._held = 0  # bytes of bodies that came in parts and are not whole yet
        self._guarded = runtime.door.guards_scoring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request (ASGI 3)."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:  # a websocket, which nothing here speaks
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    self.runtime.start()
                except Exception as error:
                    logger.exception("the gateway does not start")
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
            model, action = _target(path)
        except BadRequest as error:
            await _refuse(send, error)
            return
        if action is None or scope["method"] != "POST":
            await self.control(scope, receive, send)
            return
        self.runtime.in_flight += 1
        try:
            await self._hot(scope, receive, send, model, action)
        finally:
            self.runtime.in_flight -= 1

    async def _hot(self, scope: Scope, receive: Receive, send: Send, model: str | None, action: str) -> None:
        begun = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        request_id = _request_id(headers)
        name, status = "", 200
        try:
            if self._guarded:
                self.runtime.door.admit(scope, headers, action)
            state = self._state(model, headers)
            name = state.config.name
            if action == "invocations":
                body, extra = await self._invocations(state, headers, receive, request_id)
            elif action == "infer":
                body, extra = await self._infer(scope, state, headers, receive, request_id)
            else:
                body, extra = await self._labels(state, headers, receive)
        except BadRequest as error:
            status = error.status
            await _refuse(send, error, request_id)
        except _Gone:
            status = 499
        except Exception:  # one request must not end the connection without an answer
            logger.exception("request %s failed", request_id)
            status = 500
            await _refuse(
                send, BadRequest("The gateway failed on this request; its log says more.", 500), request_id
            )
        else:
            await _send(send, 200, body, [*extra, (b"x-request-id", request_id.encode())])
        if action != "labels":
            self.runtime.metrics.requests.labels(name, str(status)).inc()
            self.runtime.metrics.seconds.labels(name).observe(time.perf_counter() - begun)

    async def _invocations(
        self, state: ModelState, headers: Headers, receive: Receive, request_id: str
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        kind = headers.get(b"content-type", b"")
        parser = parse if kind in _JSON else protocols.rows_parser(kind)
        body = await self._body(headers, receive)
        rows = parser(body, state.spec, max_rows=self.runtime.options.max_rows)
        key = headers.get(b"x-homeostat-key")
        answer = await self.runtime.engine.answer(
            state,
            rows,
            request_id,
            key.decode("latin-1") if key else None,
            self.runtime.ports.clock.now(),
        )
        return encode.predictions(answer.predictions), _about(answer)

    async def _infer(
        self, scope: Scope, state: ModelState, headers: Headers, receive: Receive, request_id: str
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Open Inference Protocol. The body's id is only echoed: clients send one that never changes."""
        version = protocols.version_in(_path(scope))
        protocols.json_only(headers.get(b"content-type", b""))
        body = await self._body(headers, receive)
        asked = protocols.parse_infer(body, state.spec, max_rows=self.runtime.options.max_rows)
        engine, now = self.runtime.engine, self.runtime.ports.clock.now()
        if version is None:
            key = headers.get(b"x-homeostat-key")
            answer = await engine.answer(
                state, asked.rows, request_id, key.decode("latin-1") if key else None, now
            )
        else:
            answer = await engine.answer_pinned(state, asked.rows, request_id, version, now)
        return (
            protocols.encode_infer(
                asked, state.config.name, answer.version, answer.predictions, answer.confidence
            ),
            _about(answer),
        )

    async def _labels(
        self, state: ModelState, headers: Headers, receive: Receive
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        runtime = self.runtime
        protocols.json_only(headers.get(b"content-type", b""))
        body = await self._body(headers, receive)
        parsed = parse_labels(
            body, state.config, runtime.ports.clock.now(), max_rows=runtime.options.max_rows
        )
        taken = state.known_labels.take(parsed)
        name = state.config.name
        if taken.kept and not await runtime.label_log.keep(name, taken.kept, len(taken.kept)):
            state.known_labels.forget(taken.kept)
            raise BadRequest(
                "Labels cannot be kept at the moment: the disk or the store does not take them. "
                "Send them again later.",
                503,
            )
        if taken.conflicting:
            runtime.quarantine.add(name, taken.conflicting, len(taken.conflicting))
        counts = {
            "accepted": len(taken.kept),
            "duplicates": taken.duplicates,
            "conflicts": len(taken.conflicting),
        }
        for outcome, count in zip(("accepted", "duplicate", "conflict"), counts.values(), strict=True):
            runtime.metrics.labels.labels(name, outcome).inc(count)
        return encode.plain(counts), []

    def _state(self, model: str | None, headers: Headers) -> ModelState:
        runtime = self.runtime
        if model is None:
            asked = headers.get(b"x-homeostat-model")
            if asked is not None:
                model = _checked_name(asked.decode("latin-1"))
            elif len(runtime.states) == 1:
                return next(iter(runtime.states.values()))
            else:
                names = ", ".join(runtime.states) or "none"
                msg = (
                    "Not exactly one model is served here: name one, as in /models/NAME/invocations. "
                    f"There are: {names}."
                )
                raise BadRequest(msg, 400 if runtime.states else 404)
        try:
            return runtime.state(model)
        except HomeostatError as error:
            raise BadRequest(str(error), 404) from None

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        length = headers.get(b"content-length")
        if length is not None and length.isdigit() and int(length) > self._max_body:
            raise self._too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body = await self._whole(body, receive)
        if len(body) > self._max_body:
            raise self._too_large()
        return body

    async def _whole(self, first: bytes, receive: Receive) -> bytes:
        """The body that began so; what all bodies of this kind hold at a time is bounded."""
        chunks, size, more = [first], len(first), True
        self._held += size
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Gone
                chunk: bytes = message.get("body", b"")
                more = bool(message.get("more_body"))
                chunks.append(chunk)
                size += len(chunk)
                self._held += len(chunk)
                if size > self._max_body:
                    raise self._too_large()
                if self._held > self.runtime.options.max_held_bytes:
                    raise BadRequest("Too many large requests are being received: try again.", 503)
        finally:
            self._held -= size
        return b"".join(chunks)

    def _too_large(self) -> BadRequest:
        return BadRequest(f"The body is larger than {self._max_body} bytes: send fewer rows at a time.", 413)


class _Gone(Exception):
    """The client left before its request was whole."""


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
        Every model of the installation; those with ``serve: none`` are passed over.
    load
        The function that loads bundles, as ``module:name``; a seam for tests.
    """
    return Gateway(Runtime(models, ports, settings, options or Options(), load=load))


def _target(path: bytes) -> tuple[str | None, str | None]:
    """The model and the action of the hot path; (None, None) for the control side.

    Raises BadRequest for anything under ``/models/`` or ``/control/models/`` that is no model's name:
    slashes, dots and escapes are refused before anything else sees them.
    """
    if path == b"/invocations":
        return None, "invocations"
    for prefix in (b"/models/", b"/control/models/"):
        if path.startswith(prefix):
            rest = path[len(prefix) :]
            name, _, action = rest.rpartition(b"/")
            text = unquote_to_bytes(name or rest).decode("latin-1")
            if not (rest and _NAME.fullmatch((name or rest).decode("latin-1"))):
                _checked_name(text)
                raise BadRequest(_BAD_NAME)
            if prefix == b"/models/" and action in (b"invocations", b"labels") and name:
                return text, action.decode()
    return protocols.target(path)


_BAD_NAME = (
    "That is no model's name: names are lower-case letters, digits, '-' and '_', "
    "without slashes, dots or escapes."
)


def _path(scope: Scope) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path


def _about(answer: Answer) -> list[tuple[bytes, bytes]]:
    """Who answered, as response headers: the same ones in every protocol."""
    headers = [
        (b"x-homeostat-version", answer.version.encode()),
        (b"x-homeostat-variant", answer.variant.encode()),
    ]
    if answer.fell_back_from:
        headers.append((b"x-homeostat-fell-back-from", answer.fell_back_from.encode()))
    return headers


def _checked_name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise BadRequest(_BAD_NAME)
    return text


def _request_id(headers: Headers) -> str:
    given = headers.get(b"x-request-id") or headers.get(b"ce-id")
    if given is not None and _ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex


async def _refuse(send: Send, error: BadRequest, request_id: str = "") -> None:
    headers = [(b"x-request-id", request_id.encode())] if request_id else []
    headers.extend(getattr(error, "headers", ()))  # Denied brings its own
    if error.status == 503:
        headers.append((b"retry-after", b"1"))
    body = encode.error(error.sentence, encode.CODES.get(error.status, "ERROR"))
    await _send(send, error.status, body, headers)


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = str(len(body)).encode()
    base = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*base, *headers]})
    await send({"type": "http.response.body", "body": body})
