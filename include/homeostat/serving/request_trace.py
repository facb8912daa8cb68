"""The trace of one request: from its ``traceparent`` header to its log entry. Only made where traces are on.

The request's span is the parent of ``receive``, ``parse``, ``wait`` (for the batch), ``predict`` and ``log``.
The shadow is no part of it, since the client does not wait for it: its span is a trace of its own that links
to this one.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from homeostat.tracing import Attribute, Span, Tracer, logged_trace, valid_traceparent

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: Headers of a response that become attributes.
_HEADERS = {
    b"x-request-id": "homeostat.request_id",
    b"x-homeostat-version": "homeostat.version",
    b"x-homeostat-variant": "homeostat.variant",
    b"x-homeostat-fell-back-from": "homeostat.fell_back_from",
}


class RequestTrace:
    """The span of one sampled request. Times are those of ``time.perf_counter``."""

    __slots__ = ("_offset", "_span")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._offset = time.time_ns() - time.perf_counter_ns()

    @property
    def traceparent(self) -> str:
        """For links to the request."""
        return self._span.traceparent

    def stage(
        self,
        name: str,
        start: float,
        end: float | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ) -> None:
        """Add a part of the request that is over, by default just now."""
        end = time.perf_counter() if end is None else end
        self._span.child(name, self._ns(start), self._ns(end), attributes)

    def predicted(self, version: str, submitted: float, started: float, latency_ms: float, rows: int) -> None:
        """Add the wait for the batch and the predict call; ``started`` is 0 where no call was made."""
        found: dict[str, Attribute] = {"homeostat.version": version, "homeostat.rows": rows}
        if not started:
            self.stage("wait", submitted, attributes=found)
            return
        self.stage("wait", submitted, max(submitted, started), found)
        self.stage("predict", started, started + latency_ms / 1e3, found)

    def _ns(self, at: float) -> int:
        return int(at * 1e9) + self._offset


#: The trace of the request that this task handles; None for one that is not sampled.
_CURRENT: ContextVar[RequestTrace | None] = ContextVar("request_trace", default=None)


def current_trace() -> RequestTrace | None:
    """Return the trace of the request that is handled now; None for one that is not sampled."""
    return _CURRENT.get()


def trace_stage(name: str, start: float, rows: int | None = None) -> None:
    """Add a part of the current request that is over now, where the request is sampled."""
    trace = _CURRENT.get()
    if trace is not None:
        trace.stage(name, start, attributes=None if rows is None else {"homeostat.rows": rows})


class RequestTracer:
    """Begins the traces of requests."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def request(self, route: str, headers: Mapping[bytes, bytes], send: Send) -> Iterator[Send]:
        """Trace the block as one request; yields the function that sends its response."""
        parent = valid_traceparent(headers.get(b"traceparent", b"").decode("latin-1"))
        attributes: dict[str, Attribute] = {"http.request.method": "POST", "http.route": route}
        span = self._tracer.start(f"POST {route}", parent=parent, attributes=attributes, kind="server")
        token = _CURRENT.set(RequestTrace(span) if span.recording else None)
        try:
            with logged_trace(span.traceparent):
                yield _observed(send, span) if span.recording else send
        finally:
            _CURRENT.reset(token)
            span.end()


def _observed(send: Send, span: Span) -> Send:
    """Return the function that sends a response and adds its status and headers to the span."""

    async def observed(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status = int(message["status"])
            headers = {name: value for name, value in message["headers"] if name in _HEADERS}
            found = {_HEADERS[name]: value.decode("latin-1") for name, value in headers.items()}
            span.set({"http.response.status_code": status, **found})
            if status >= 500:
                span.fail(f"status {status}")
        await send(message)

    return observed
