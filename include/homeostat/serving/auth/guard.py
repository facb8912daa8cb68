"""What stands before every call: the token it needs, how often a client may ask, how much it may bring."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import datetime
from typing import Any

from fastapi import HTTPException

from homeostat.config import Settings
from homeostat.serving import responses as encode
from homeostat.serving.auth.audit import Audit
from homeostat.serving.auth.rate_limit import Rates
from homeostat.serving.auth.token_store import Keyring
from homeostat.serving.auth.tokens import CONTROL, LABEL, PREDICT, READ, Verdict
from homeostat.serving.options import Options
from homeostat.serving.scoring_request import BadRequest

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: What a control call may bring: a version and a reason.
MAX_ORDER_BYTES = 64 * 1024
#: Answered to anybody: probes, and the page itself, which holds no data and asks for a token.
_OPEN = frozenset({"/ping", "/health", "/v2/health/live", "/v2/health/ready", "/"})
WHO = "homeostat.who"  # where the ASGI scope holds who calls


class Denied(BadRequest):
    """The call is not answered: 401, 403 or 429, with the headers that belong to it."""

    def __init__(self, sentence: str, status: int, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(sentence, status)
        self.headers = headers


class Door:
    """Lets calls in or not. One per gateway process, used from its event loop.

    Parameters
    ----------
    now
        The clock's time, for the audit trail.
    monotonic
        Seconds, for rates; a seam for tests.
    """

    def __init__(
        self,
        settings: Settings,
        options: Options,
        audit: Audit,
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keyring = Keyring(settings, monotonic)
        self._audit = audit
        self._now = now
        self._monotonic = monotonic
        self._rates = (
            Rates(options.rate_per_client, options.rate_burst) if options.rate_per_client > 0 else None
        )
        #: Whether scoring and labels have to ask at all; the hot path looks at nothing else otherwise.
        self.guards_scoring = (
            self._rates is not None or self.keyring.needs_token(PREDICT) or self.keyring.needs_token(LABEL)
        )

    def admit(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], action: str) -> None:
        """Let a scoring or label request in, or raise Denied."""
        needed = LABEL if action == "labels" else PREDICT
        name = self._known(scope, headers, needed)
        if self._rates is None:
            return
        wait = self._rates.take(f"token {name}" if name else _host(scope), self._monotonic())
        if wait > 0:
            raise Denied(
                "That is more than this gateway takes from one client: wait as long as Retry-After says.",
                429,
                ((b"retry-after", str(max(1, round(wait + 0.5))).encode()),),
            )

    def enter(self, scope: Scope, headers: Mapping[bytes, bytes]) -> None:
        """Let a call of the control side in and put down who it is, or raise Denied."""
        needed = scope_of(scope["path"])
        name = self._known(scope, headers, needed) if needed else ""
        scope[WHO] = f"{name or 'anybody'}@{_host(scope)}"

    def may_read(self, headers: Mapping[str, str]) -> bool:
        """Whether the caller of an open page may see the details too."""
        return self.keyring.check(headers.get("authorization"), READ).status == 200

    def _known(self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes], needed: str) -> str:
        if not self.keyring.needs_token(needed):
            return ""
        given = headers.get(b"authorization")
        verdict = self.keyring.check(given.decode("latin-1") if given else None, needed)
        if verdict.status == 200:
            return verdict.name
        self._audit.refused(
            {
                "at": self._now(),
                "by": f"{verdict.name or 'anybody'}@{_host(scope)}",
                "path": str(scope["path"])[:200],
                "status": verdict.status,
                "said": verdict.sentence,
            }
        )
        raise Denied(verdict.sentence, verdict.status, _challenge(verdict, needed))


def scope_of(path: str) -> str:
    """The scope that a path of the control side asks for; empty when it is open to anybody."""
    if path.startswith("/control/"):
        return CONTROL
    if path in _OPEN:
        return ""
    # The metadata of the inference protocol goes with the right to infer.
    return PREDICT if path.startswith("/v2") else READ


def guard(app: App, door: Door) -> App:
    """Put the door before the control side: tokens are looked at before a byte of the body is read."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            door.enter(scope, headers)
            length = headers.get(b"content-length", b"")
            if length.isdigit() and int(length) > MAX_ORDER_BYTES:
                raise Denied(_TOO_LARGE, 413)
        except Denied as error:
            await _refuse(send, error)
            return
        await app(scope, _bounded(receive), send)

    return guarded


_TOO_LARGE = f"The body is larger than the {MAX_ORDER_BYTES} bytes that an order may have."


def _bounded(receive: Receive) -> Receive:
    """Stop reading a body that does not say how large it is and is too large."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MAX_ORDER_BYTES:
            raise HTTPException(413, _TOO_LARGE)
        return message

    return bounded


async def _refuse(send: Send, error: Denied) -> None:
    body = encode.error(error.sentence, encode.CODES.get(error.status, "ERROR"))
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": [*headers, *error.headers]})
    await send({"type": "http.response.body", "body": body})


def _challenge(verdict: Verdict, needed: str) -> tuple[tuple[bytes, bytes], ...]:
    """RFC 6750, section 3: what a client needs to know about the token that is missing."""
    if verdict.status == 401:
        return ((b"www-authenticate", b"Bearer"),)
    kind = "insufficient_scope" if verdict.name else "invalid_token"
    return ((b"www-authenticate", f'Bearer error="{kind}", scope="{needed}"'.encode()),)


def _host(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
