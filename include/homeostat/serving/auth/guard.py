"""Authorize every call: token, rate limit, and the size of control calls, before its body is read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime
from typing import Any

from fastapi import HTTPException

from homeostat.config import Settings
from homeostat.serving import responses
from homeostat.serving.auth.audit import AuditLog
from homeostat.serving.auth.rate_limit import RateLimit
from homeostat.serving.auth.token_store import TokenStore
from homeostat.serving.auth.tokens import CONTROL, LABEL, PREDICT, READ, AuthResult
from homeostat.serving.options import Options
from homeostat.serving.scoring_request import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: The largest body of a control call, which holds a version and a reason.
MAX_CONTROL_BYTES = 64 * 1024
#: Paths without authorization: probes, and pages, which hold no data and ask for a token.
_OPEN = frozenset({"/ping", "/health", "/v2/health/live", "/v2/health/ready", "/", "/fleet"})
#: The folder of the page's scripts and styles.
_ASSETS = "/fleet/assets/"
#: Pages that a signed link opens; the signature authorizes them.
APPROVALS = "/approvals/"
#: Where MLflow's webhooks are heard.
WEBHOOK = "/webhooks/mlflow"
#: The key of the ASGI scope that holds the caller, as ``NAME@ADDRESS``.
CALLER = "homeostat.caller"


class AccessDenied(BadRequest):
    """The call is refused: 401, 403, 413 or 429, with the headers that belong to the status."""

    def __init__(self, sentence: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(sentence, status)
        self.headers = headers


class AccessGuard:
    """Authorizes calls. One per gateway process; call it from the event loop only.

    Parameters
    ----------
    now
        Returns the time for the audit log.
    """

    def __init__(
        self, settings: Settings, options: Options, audit: AuditLog, now: Callable[[], datetime]
    ) -> None:
        self.token_store = TokenStore(settings)
        self._audit = audit
        self._now = now
        self._rate_limit = (
            RateLimit(options.rate_per_client, options.rate_burst) if options.rate_per_client > 0 else None
        )
        #: Whether scoring and labels need authorization; when not, the hot path skips the guard.
        self.guards_scoring = (
            self._rate_limit is not None
            or self.token_store.needs_token(PREDICT)
            or self.token_store.needs_token(LABEL)
        )

    def authorize_scoring(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], action: str
    ) -> None:
        """Authorize a scoring or label request; AccessDenied when it is refused."""
        name = self._token_name(scope, headers, LABEL if action == "labels" else PREDICT)
        if self._rate_limit is None:
            return
        wait = self._rate_limit.take(f"token {name}" if name else _host(scope), time.monotonic())
        if wait > 0:
            raise AccessDenied(
                "Too many requests from this client: wait for the seconds in Retry-After.",
                429,
                ((b"retry-after", str(max(1, round(wait + 0.5))).encode()),),
            )

    def authorize_control(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Authorize a control API call and store its caller in the scope; AccessDenied when refused."""
        needed = required_scope(scope["path"])
        name = self._token_name(scope, headers, needed) if needed else ""
        scope[CALLER] = _caller(name, scope)

    def can_read(self, headers: Mapping[str, str]) -> bool:
        """Return whether the caller of an open path may also see what needs the scope ``read``."""
        return self.token_store.authorize(headers.get("authorization"), READ).status == 200

    def _token_name(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], needed: str) -> str:
        """The name of the caller's token, "" when none is needed; AccessDenied without a valid one."""
        if not self.token_store.needs_token(needed):
            return ""
        given = headers.get(b"authorization")
        result = self.token_store.authorize(given.decode("latin-1") if given else None, needed)
        if result.status == 200:
            return result.name
        self._audit.write_refusal(
            {
                "at": self._now(),
                "by": _caller(result.name, scope),
                "path": str(scope["path"])[:200],
                "status": result.status,
                "message": result.message,
            }
        )
        raise AccessDenied(result.message, result.status, _challenge(result, needed))


def required_scope(path: str) -> str:
    """Return the token scope that a path of the control API needs; "" for a path that is open to all."""
    if path.startswith("/control/"):
        return CONTROL
    # A delivery of MLflow has a signature instead of a token.
    if path in _OPEN or path == WEBHOOK or path.startswith((_ASSETS, APPROVALS)):
        return ""
    # The metadata of the Open Inference Protocol belongs to inference.
    return PREDICT if path.startswith("/v2") else READ


def control_middleware(app: App, access_guard: AccessGuard) -> App:
    """Wrap the control API: authorize each call before its body is read, and limit the body's size."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            access_guard.authorize_control(scope, headers)
            length = headers.get(b"content-length", b"")
            if length.isdigit() and int(length) > MAX_CONTROL_BYTES:
                raise AccessDenied(_TOO_LARGE, 413)
            if headers.get(b"content-encoding", b"identity").strip().lower() not in (b"", b"identity"):
                raise AccessDenied(_COMPRESSED, 415)
        except AccessDenied as error:
            await _send_error(send, error)
            return
        await app(scope, _bounded(receive), send)

    return guarded


_COMPRESSED = "Unsupported Content-Encoding. Send control calls without compression."
_TOO_LARGE = f"The body is larger than {MAX_CONTROL_BYTES} bytes, the limit of control calls."


def _bounded(receive: Receive) -> Receive:
    """Stop reading a body without a Content-Length once it is too large."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_CONTROL_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return bounded


async def _send_error(send: Send, error: AccessDenied) -> None:
    body = responses.error(error.sentence, responses.CODES.get(error.status, "ERROR"))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": [*headers, *error.headers]})
    await send({"type": "http.response.body", "body": body})


def _challenge(result: AuthResult, needed: str) -> tuple[tuple[bytes, bytes], ...]:
    """The WWW-Authenticate header (RFC 6750, section 3)."""
    if result.status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    kind = "insufficient_scope" if result.name else "invalid_token"
    return ((b"www-authenticate", f'Bearer error="{kind}", scope="{needed}"'.encode()),)


def _caller(name: str, scope: Mapping[str, Any]) -> str:
    return f"{name or 'anonymous'}@{_host(scope)}"


def _host(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
