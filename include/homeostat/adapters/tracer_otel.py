"""Spans by OpenTelemetry's SDK, sent by OTLP. The SDK reads the standard OTEL_* variables itself.

Homeostat has its own provider and leaves the global one alone: in a task that is Airflow's, in the gateway it
may be that of somebody's instrumentation. Spans of different providers join through their trace context.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from copy import copy
from importlib.metadata import entry_points
from typing import Any, Literal, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from homeostat._version import __version__
from homeostat.config.errors import ConfigError
from homeostat.tracing import Attribute, Incoming, is_sampled, valid_traceparent

logger = logging.getLogger(__name__)

_GROUP = "opentelemetry_traces_exporter"
_PROTOCOLS = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
#: Seconds that the receiver may take for the last spans when the process ends.
EXIT_SECONDS = 2.0
_KINDS = {"internal": SpanKind.INTERNAL, "server": SpanKind.SERVER}
#: The ids of the next span, where they were decided before.
_IDS: ContextVar[tuple[int, int] | None] = ContextVar("homeostat_span_ids", default=None)


class _Ids(RandomIdGenerator):
    def generate_trace_id(self) -> int:
        ids = _IDS.get()
        return ids[0] if ids else super().generate_trace_id()

    def generate_span_id(self) -> int:
        ids = _IDS.get()
        return ids[1] if ids else super().generate_span_id()


class OtelSpan:
    """See :class:`homeostat.tracing.Span`."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, span: trace.Span, tracer: trace.Tracer) -> None:
        self._span, self._tracer = span, tracer

    @property
    def traceparent(self) -> str:
        """See :meth:`homeostat.tracing.Span.traceparent`."""
        return _text(self._span.get_span_context())

    @property
    def recording(self) -> bool:
        """See :meth:`homeostat.tracing.Span.recording`."""
        return self._span.is_recording()

    def set(self, attributes: Mapping[str, Attribute]) -> None:
        """See :meth:`homeostat.tracing.Span.set`."""
        self._span.set_attributes(attributes)

    def child(
        self, name: str, start: int, end: int, attributes: Mapping[str, Attribute] | None = None
    ) -> None:
        """See :meth:`homeostat.tracing.Span.child`."""
        if self._span.is_recording():
            context = trace.set_span_in_context(self._span, Context())
            self._tracer.start_span(name, context, attributes=attributes, start_time=start).end(end)

    def fail(self, why: str) -> None:
        """See :meth:`homeostat.tracing.Span.fail`."""
        self._span.set_status(Status(StatusCode.ERROR, why))

    def end(self, at: int | None = None) -> None:
        """See :meth:`homeostat.tracing.Span.end`."""
        self._span.end(at)


class OtelTracer:
    """See :class:`homeostat.tracing.Tracer`.

    Parameters
    ----------
    incoming
        A ``traceparent``; one that is not valid is ignored.

    Raises
    ------
    ConfigError
        There is no exporter of the configured name.
    """

    def __init__(self, service: str, env: Mapping[str, str], *, incoming: str = "") -> None:
        self.incoming = Incoming(valid_traceparent(incoming))
        resource = Resource.create({"service.version": __version__})
        named = "service.name=" in env.get("OTEL_RESOURCE_ATTRIBUTES", "")
        if not (named or env.get("OTEL_SERVICE_NAME")):
            resource = resource.merge(Resource({"service.name": service}))
        self._processor = BatchSpanProcessor(_exporter(env))
        self._sampling = self._provider(resource, None)
        self._tracer = self._sampling.get_tracer("homeostat", __version__)
        #: For spans that are sampled already.
        self._forced = self._provider(resource, ALWAYS_ON).get_tracer("homeostat", __version__)
        atexit.register(self.flush, EXIT_SECONDS)

    def _provider(self, resource: Resource, sampler: Sampler | None) -> TracerProvider:
        # At exit the SDK would wait half a minute for a receiver that is away.
        provider = TracerProvider(sampler, resource, shutdown_on_exit=False, id_generator=_Ids())
        provider.add_span_processor(self._processor)
        return provider

    def started_in(self, incoming: Incoming) -> Self:
        """See :meth:`homeostat.tracing.Tracer.started_in`."""
        other = copy(self)
        other.incoming = incoming
        return other

    def decide(self, incoming: Incoming) -> str:
        """See :meth:`homeostat.tracing.Tracer.decide`."""
        ids, given = RandomIdGenerator(), incoming.traceparent
        parent = _context(given) if given and incoming.traced else None
        number = _parsed(given).trace_id if given else ids.generate_trace_id()
        decided = self._sampling.sampler.should_sample(parent, number, "retrain")
        flags = TraceFlags(TraceFlags.SAMPLED if decided.decision is Decision.RECORD_AND_SAMPLE else 0)
        return _text(SpanContext(number, ids.generate_span_id(), is_remote=False, trace_flags=flags))

    def start(
        self,
        name: str,
        *,
        parent: str = "",
        links: Sequence[str] = (),
        attributes: Mapping[str, Attribute] | None = None,
        at: int | None = None,
        kind: Literal["internal", "server"] = "internal",
    ) -> OtelSpan:
        """See :meth:`homeostat.tracing.Tracer.start`."""
        span = self._tracer.start_span(
            name,
            _context(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            links=[Link(_parsed(link)) for link in links if link],
            start_time=at,
        )
        return OtelSpan(span, self._tracer)

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
        """See :meth:`homeostat.tracing.Tracer.emit`."""
        if (own or parent) and not is_sampled(own or parent):
            return
        mine = _parsed(own) if own else None
        token = _IDS.set((mine.trace_id, mine.span_id) if mine else None)
        try:
            span = self._forced.start_span(
                name,
                _context(parent),
                attributes=attributes,
                links=[Link(_parsed(link)) for link in links if link],
                start_time=start,
            )
        finally:
            _IDS.reset(token)
        if error:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end)

    def flush(self, seconds: float = 5.0) -> None:
        """See :meth:`homeostat.tracing.Tracer.flush`."""
        # In a thread: the SDK's own flush ignores its time limit.
        sending = threading.Thread(target=self._processor.force_flush, name="send-traces", daemon=True)
        try:
            sending.start()
        except RuntimeError:  # the interpreter ends and starts no threads: the exporter has a time-out
            self._processor.force_flush()
            return
        sending.join(seconds)
        if sending.is_alive():
            logger.warning("the receiver of traces did not respond within %g s", seconds)


def _exporter(env: Mapping[str, str]) -> SpanExporter:
    """Return the exporter by its standard name; OTLP over HTTP unless something else is configured."""
    name = env.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    if name == "otlp":
        given = env.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or env.get("OTEL_EXPORTER_OTLP_PROTOCOL")
        protocol = given or "http/protobuf"
        name = _PROTOCOLS.get(protocol, protocol)
    found: Any = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        known = ", ".join(sorted(each.name for each in entry_points(group=_GROUP)))
        msg = (
            f"OTEL_TRACES_EXPORTER or OTEL_EXPORTER_OTLP_PROTOCOL asks for {name!r}, which is not installed."
            f" Installed: {known}. Protocols: {', '.join(_PROTOCOLS)}"
        )
        raise ConfigError(msg)
    exporter: SpanExporter = found.load()()
    return exporter


def _parsed(traceparent: str) -> SpanContext:
    _, number, span, flags = traceparent.split("-")
    return SpanContext(int(number, 16), int(span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _context(traceparent: str) -> Context:
    """Return the context of a parent; an empty one for a new trace, whatever is current in this thread."""
    if not traceparent:
        return Context()
    return trace.set_span_in_context(NonRecordingSpan(_parsed(traceparent)), Context())


def _text(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
