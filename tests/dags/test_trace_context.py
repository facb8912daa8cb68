"""The trace of a task: the span of Airflow's task where it sends traces, else the id of the DAG run."""

from types import SimpleNamespace

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from homeostat.tracing import Incoming
from homeostat_airflow.trace_context import task_trace

CARRIER = f"00-{'a' * 32}-{'b' * 16}-00"


def context(carrier):
    return {"ti": SimpleNamespace(context_carrier=carrier)}


@pytest.mark.parametrize(
    ("carrier", "expected"),
    [({"traceparent": CARRIER}, CARRIER), ({"traceparent": "no"}, ""), ({}, ""), (None, "")],
)
def test_where_airflow_sends_no_traces_its_trace_id_counts(carrier, expected):
    assert task_trace(context(carrier)) == Incoming(expected, traced=False)


def test_a_task_without_a_carrier_has_no_trace():
    assert task_trace({"ti": SimpleNamespace()}) == Incoming("", traced=False)


def test_where_airflow_sends_traces_the_span_of_its_task_is_the_parent(monkeypatch):
    provider = TracerProvider(shutdown_on_exit=False)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    with provider.get_tracer("airflow").start_as_current_span("worker.train") as span:
        own = span.get_span_context()
        found = task_trace(context({"traceparent": CARRIER}))
    assert found == Incoming(f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}", traced=True)
    assert task_trace(context({"traceparent": CARRIER})) == Incoming(CARRIER, traced=True)
