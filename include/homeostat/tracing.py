"""Traces: spans as the rest of Homeostat sees them, and the W3C trace context that joins them.

A trace context is the text of the W3C header ``traceparent``: ``00-TRACE-SPAN-FLAGS`` in hexadecimal, of 32,
16 and 2 digits, whose last bit says whether the trace is recorded. "" is none. It is stored and sent as it
is, so nothing here needs OpenTelemetry, which :mod:`homeostat.adapters.tracer_otel` brings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, Protocol, Self

Attribute = str | bool | int | float

_TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)

#: The trace that this thread or request works for: log lines end with its id. "" for none.
_LOGGED: ContextVar[str] = ContextVar("homeostat_logged_trace", default="")


@dataclass(frozen=True, slots=True)
class Incoming:
    """The trace in which this process or task was started; ``traceparent`` is "" for none.

    ``traced`` is False where whoever started it sends no spans: then only its trace id counts.
    """

    traceparent: str = ""
    traced: bool = True


class Span(Protocol):
    """A step of a trace, from its start to :meth:`end`."""

    @property
    def traceparent(self) -> str:
        """The trace context of this span, for its children and for links to it."""

    @property
    def recording(self) -> bool:
        """Whether it is sampled: otherwise nothing of it is sent."""

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""

    def child(
        self, name: str, start: int, end: int, attributes: Mapping[str, Attribute] | None = None
    ) -> None:
        """Add a step that is over. Times are nanoseconds since 1970."""

    def fail(self, why: str) -> None:
        """Mark it as failed."""

    def end(self, at: int | None = None) -> None:
        """End it, by default now. Times are nanoseconds since 1970."""


class Tracer(Protocol):
    """Records spans. No method raises or waits for the receiver, except :meth:`flush`."""

    @property
    def incoming(self) -> Incoming:
        """The trace in which this process or task was started."""

    def started_in(self, incoming: Incoming) -> Self:
        """Return the same tracer for another ``incoming``."""

    def decide(self, incoming: Incoming) -> str:
        """Return the context of a new span in the trace ``incoming``, or in a new one, and sample it.

        :meth:`emit` sends the span when it is over: its children may be made in other processes before.
        """

    def start(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        at: int | None = None,
        kind: Literal["internal", "server"] = "internal",
    ) -> Span:
        """Start a span under ``parent``, or a new trace. ``links`` are contexts of other traces."""

    def emit(
        self,
        name: str,
        start: int,
        end: int,
        *,
        own: str = "",
        parent: str = "",
        links: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        error: str = "",
    ) -> None:
        """Send a span that is over and is sampled already.

        Parameters
        ----------
        own
            Its own context, from :meth:`decide`; "" for a new one.
        """

    def flush(self, seconds: float = 5.0) -> None:
        """Send what was recorded; waits at most so long for the receiver."""


def valid_traceparent(text: str) -> str:
    """Return a trace context as version 00; "" unless it is valid by https://www.w3.org/TR/trace-context/."""
    found = _TRACEPARENT.fullmatch(text.strip())
    if found is None or (found[1] == "00" and found[5]):
        return ""
    return f"00-{found[2]}-{found[3]}-{found[4]}"


def trace_id(traceparent: str) -> str:
    """Return the trace id of a valid trace context; "" for none."""
    return traceparent[3:35]


def is_sampled(traceparent: str) -> bool:
    """Whether the trace of a valid trace context is recorded."""
    return bool(traceparent) and bool(int(traceparent[-2:], 16) & 1)


def logged_traceparent() -> str:
    """Return the context of the trace that log lines name now; "" for none."""
    return _LOGGED.get()


@contextmanager
def logged_trace(traceparent: str) -> Iterator[None]:
    """Let the log lines of the block end with this trace's id; "" leaves them as they are."""
    if not traceparent:
        yield
        return
    token = _LOGGED.set(traceparent)
    try:
        yield
    finally:
        _LOGGED.reset(token)
