"""The trace that Airflow gave a task: steps of a retrain join it.

Airflow gives every DAG run a trace id, whether or not it sends traces itself (``[traces] otel_on``). When it
does, the task's span is current while an operator runs. OpenTelemetry's API comes with Airflow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from homeostat.tracing import Incoming, valid_traceparent

if TYPE_CHECKING:
    from airflow.sdk import Context


def task_trace(context: Context) -> Incoming:
    """Return the trace of the task of this context."""
    from opentelemetry import trace

    sends = hasattr(trace.get_tracer_provider(), "add_span_processor")  # the SDK's; else Airflow sends none
    current = trace.get_current_span().get_span_context()
    if sends and current.is_valid:
        flags = f"{current.trace_flags:02x}"
        return Incoming(f"00-{current.trace_id:032x}-{current.span_id:016x}-{flags}")
    carrier: Mapping[str, Any] = getattr(context["ti"], "context_carrier", None) or {}
    return Incoming(valid_traceparent(str(carrier.get("traceparent", ""))), traced=sends)
