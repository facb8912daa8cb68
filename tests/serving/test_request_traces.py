"""Traces of requests: a real gateway over HTTP, and a real OTLP receiver."""

import logging
from dataclasses import replace

import pytest

from homeostat.adapters.tracer import open_tracer
from otlp_receiver import otlp_receiver
from serving.gateway_harness import make_gateway_fixture, serving, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
RETRAIN = f"00-{'9' * 32}-{'8' * 16}-01"


def traced_fixture(tmp_path, monkeypatch, receiver, **env):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100", **env}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    made = make_gateway_fixture(tmp_path)
    made.ports = replace(made.ports, tracer=open_tracer("gateway", env))
    return made


@pytest.fixture
def traced(tmp_path, monkeypatch):
    with otlp_receiver() as receiver:
        yield receiver, traced_fixture(tmp_path, monkeypatch, receiver)


def spans_of(receiver, trace, names):
    """Wait for these spans of a trace; return them by name."""
    return receiver.wait_for(
        lambda: (
            set(names) <= {span.name for span in receiver.spans if span.trace == trace}
            and {span.name: span for span in receiver.spans if span.trace == trace}
        )
    )


ROUTE = "POST /models/{model}/invocations"


def test_a_request_continues_the_trace_of_its_client(traced):
    receiver, setup = traced
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        client.score(traceparent=f"00-{TRACE}-{SPAN}-01", **{"x-request-id": "r-1"})
        spans = spans_of(receiver, TRACE, (ROUTE, "parse", "wait", "predict", "log"))
    request = spans.pop(ROUTE)
    assert (request.parent, request.service, request.error) == (SPAN, "gateway", "")
    assert request.attributes == {
        "http.request.method": "POST",
        "http.route": "/models/{model}/invocations",
        "http.response.status_code": 200,
        "homeostat.request_id": "r-1",
        "homeostat.version": "1",
        "homeostat.variant": "champion",
    }
    assert set(spans) == {"parse", "wait", "predict", "log"}
    assert {span.parent for span in spans.values()} == {request.id}
    for span in spans.values():
        assert request.start <= span.start <= span.end <= request.end + 1_000_000
    assert spans["wait"].end <= spans["predict"].start
    assert spans["predict"].attributes == {"homeostat.version": "1", "homeostat.rows": 1}


def test_labels_and_infer_requests_are_traced_too(traced):
    receiver, setup = traced
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        client.labels({"id": "x", "label": 1})
        inputs = [
            {"name": name, "shape": [1], "datatype": kind, "data": [value]}
            for name, kind, value in (("a", "FP64", 1.0), ("b", "FP64", 0.0), ("colour", "BYTES", "red"))
        ]
        assert client.http.post("/v2/models/pump/infer", json={"inputs": inputs}).status_code == 200
        (labels,) = receiver.wait_for(lambda: receiver.named("POST /models/{model}/labels"))
        (infer,) = receiver.wait_for(lambda: receiver.named("POST /v2/models/{model}/infer"))
        assert set(spans_of(receiver, labels.trace, ("parse", "log"))) == {labels.name, "parse", "log"}
        assert set(spans_of(receiver, infer.trace, ("parse", "wait", "predict", "log"))) >= {"predict"}
        assert labels.parent == infer.parent == ""


def test_the_shadow_is_a_trace_of_its_own_that_links_to_the_request_and_to_the_retrain(traced):
    receiver, setup = traced
    setup.begin(setup.version())
    setup.begin(candidate := setup.version())
    traffic = setup.traffic()
    rollout = replace(traffic.rollout, traceparent=RETRAIN)
    setup.ports.ledger.write(
        replace(traffic, rollout=rollout), kind="begun", reason="", by="test", at=setup.ports.clock.now()
    )
    with serving(setup) as client:
        client.ready()
        until(lambda: client.runtime.states["pump"].table.mirrored, "the shadow gets requests", 60)
        client.score(traceparent=f"00-{TRACE}-{SPAN}-01")
        (shadow,) = receiver.wait_for(lambda: receiver.named("shadow"), 60)
        (request,) = receiver.wait_for(lambda: receiver.named(ROUTE))
    assert shadow.trace not in (TRACE, "9" * 32)
    assert shadow.links == ((TRACE, request.id), ("9" * 32, "8" * 16))
    assert shadow.attributes["homeostat.version"] == candidate.version
    assert shadow.attributes["homeostat.rollout"] == rollout.id
    assert {span.name for span in receiver.spans if span.trace == TRACE} == {
        *(ROUTE, "parse", "wait", "predict", "log")
    }


def test_errors_are_in_the_trace_and_the_log_names_it(traced, caplog):
    receiver, setup = traced
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        engine, client.runtime.engine = client.runtime.engine, None
        seen = []
        handler = logging.Handler()
        from homeostat.tracing import logged_traceparent

        handler.emit = lambda record: seen.append((record.getMessage(), logged_traceparent()))
        logging.getLogger("homeostat.serving.http.app").addHandler(handler)
        response = client.score(traceparent=f"00-{TRACE}-{SPAN}-00", **{"x-request-id": "bad"})
        client.runtime.engine = engine
        logging.getLogger("homeostat.serving.http.app").removeHandler(handler)
        assert response.status_code == 500
        ((message, logged),) = seen
        assert message == "request bad failed"
        assert logged[3:35] == TRACE, "also of a request that is not sampled"
        client.runtime.engine = None
        client.score(traceparent=f"00-{TRACE}-{SPAN}-01")
        client.runtime.engine = engine
        found = spans_of(receiver, TRACE, (ROUTE,))[ROUTE]
    assert (found.error, found.attributes["http.response.status_code"]) == ("status 500", 500)


def test_the_share_of_requests_that_is_traced_follows_the_sampler(tmp_path, monkeypatch):
    ratio = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}
    low, high = "0" * 16, "f" * 16  # the sampler compares the last 64 bits with the ratio
    with otlp_receiver() as receiver:
        setup = traced_fixture(tmp_path, monkeypatch, receiver, **ratio)
        setup.begin(setup.version())
        with serving(setup) as client:
            client.ready()
            for _ in range(60):
                client.score()
            client.score(traceparent=f"00-{'a' * 16}{high}-{SPAN}-01")
            client.score(traceparent=f"00-{'a' * 16}{low[:-1]}1-{SPAN}-00")
            spans_of(receiver, f"{'a' * 16}{high}", (ROUTE,))
        setup.ports.tracer.flush()
        found = receiver.named(ROUTE)
    assert 10 <= len(found) <= 52, "60 at one half, and one that its client sampled"
    assert f"{'a' * 16}{low[:-1]}1" not in {span.trace for span in found}


@pytest.mark.parametrize("header", ["", "00-zz", f"00-{'0' * 32}-{SPAN}-01", "\xff" * 9])
def test_a_broken_header_begins_a_trace_of_its_own(traced, header):
    receiver, setup = traced
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        response = client.http.post(
            "/invocations",
            json={"dataframe_records": [{"a": 1.0, "b": 0.0, "colour": "red"}]},
            headers=[(b"traceparent", header.encode("latin-1"))],
        )
        assert response.status_code == 200
        (request,) = receiver.wait_for(lambda: receiver.named("POST /invocations"))
    assert request.parent == ""
