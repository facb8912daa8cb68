"""Traces are off unless OTEL_* variables ask for them; then spans arrive by OTLP."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

import homeostat
from homeostat.adapters.tracer import is_configured, open_tracer
from homeostat.tracing import Incoming, is_sampled, trace_id
from otlp_receiver import otlp_receiver

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("env", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "a", "OTEL_TRACES_SAMPLER": "always_on"}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "TRUE"}, False),
    ],
)
def test_an_endpoint_or_an_exporter_switches_traces_on(env, on):
    assert is_configured(env) is on


@pytest.mark.quick
def test_without_configuration_there_is_no_tracer():
    assert open_tracer(env={}) is None


@pytest.fixture
def traced(monkeypatch):
    """A receiver, and a function that opens the tracer of a process with these variables."""
    with otlp_receiver() as receiver:

        def opened(**env):
            env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, **env}
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            return open_tracer("tests", env)

        yield receiver, opened


def received(receiver, tracer):
    tracer.flush()
    return {span.name: span for span in receiver.spans}


def test_a_span_arrives_with_its_children_links_and_attributes(traced):
    receiver, opened = traced
    tracer = opened()
    other = f"00-{'a' * 32}-{'b' * 16}-01"
    span = tracer.start(
        "work", links=(other, ""), attributes={"homeostat.model": "pump"}, at=1_000, kind="server"
    )
    span.child("part", 1_100, 1_200, {"rows": 3})
    span.set({"homeostat.version": "4"})
    span.fail("it broke")
    span.end(2_000)
    spans = received(receiver, tracer)
    work, part = spans["work"], spans["part"]
    assert (part.trace, part.parent, part.start, part.end) == (work.trace, work.id, 1_100, 1_200)
    assert span.traceparent[:-2] == f"00-{work.trace}-{work.id}-"
    assert is_sampled(span.traceparent)
    assert work.attributes == {"homeostat.model": "pump", "homeostat.version": "4"}
    assert (work.links, work.error, work.parent) == ((("a" * 32, "b" * 16),), "it broke", "")
    assert (work.service, part.attributes) == ("tests", {"rows": 3})


def test_the_service_can_be_named_by_the_standard_variables(traced):
    receiver, opened = traced
    tracer = opened(OTEL_SERVICE_NAME="mine")
    tracer.start("named").end()
    assert received(receiver, tracer)["named"].service == "mine"


def test_a_span_that_ends_in_another_process_has_the_ids_that_were_decided(traced):
    receiver, opened = traced
    tracer = opened()
    own = tracer.decide(Incoming())
    tracer.start("step", parent=own).end()
    tracer.emit("whole", 5, 9, own=own, attributes={"verdict": "promoted"}, error="no")
    spans = received(receiver, tracer)
    assert own == f"00-{spans['whole'].trace}-{spans['whole'].id}-01"
    assert (spans["step"].trace, spans["step"].parent) == (spans["whole"].trace, spans["whole"].id)
    assert (spans["whole"].start, spans["whole"].end, spans["whole"].error) == (5, 9, "no")


RATIO = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}


def test_what_the_caller_decided_wins_over_the_own_sampler(traced):
    receiver, opened = traced
    tracer = opened(**RATIO)
    assert not tracer.start("own").recording
    for flags, recorded in (("01", True), ("00", False)):
        parent = f"00-{'c' * 32}-{'d' * 16}-{flags}"
        span = tracer.start(f"of {flags}", parent=parent)
        assert (span.recording, trace_id(span.traceparent)) == (recorded, "c" * 32)
        span.end()
        tracer.emit(f"emitted {flags}", 1, 2, parent=parent)
    assert {span.name for span in receiver.spans} | set(received(receiver, tracer)) == {"of 01", "emitted 01"}


def test_a_trace_whose_starter_sends_none_is_sampled_here(traced):
    _, opened = traced
    silent = Incoming(f"00-{'e' * 32}-{'f' * 16}-00", traced=False)
    assert is_sampled(opened().decide(silent))
    assert trace_id(opened().decide(silent)) == "e" * 32
    assert not is_sampled(opened(**RATIO).decide(silent))
    assert not is_sampled(opened().decide(Incoming(silent.traceparent)))


def test_the_environment_can_name_the_trace_that_a_command_belongs_to(traced):
    _, opened = traced
    given = f"00-{'1' * 32}-{'2' * 16}-01"
    assert opened(TRACEPARENT=given).incoming == Incoming(given)
    assert opened(TRACEPARENT="nonsense").incoming == Incoming()


def test_a_receiver_that_does_not_respond_delays_nobody(traced):
    receiver, opened = traced
    receiver.status = 503
    tracer = opened(OTEL_EXPORTER_OTLP_TIMEOUT="30")
    tracer.start("lost").end()
    begun = time.monotonic()
    tracer.flush(0.2)
    assert time.monotonic() - begun < 10
    receiver.status = 200


def test_an_exporter_that_is_not_installed_is_logged_and_switches_traces_off(caplog):
    with caplog.at_level(logging.ERROR):
        env = ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"}
        assert open_tracer("tests", env) is None
    assert "OTEL_EXPORTER_OTLP_PROTOCOL asks for 'carrier-pigeon'" in caplog.text


GATEWAY = """
import asyncio, sys
from homeostat.adapters import build_ports
from homeostat.config import Settings
from homeostat.serving import Options, create_app
from serving.gateway_harness import model_config

settings = Settings.from_env()
config = model_config()
app = create_app({config.name: config}, build_ports(settings), settings, Options())
sent = []

async def ask():
    async def receive():
        return {"type": "http.request", "body": b'{"inputs": [[1, 2, "red", 0]]}'}
    async def send(message):
        sent.append(message)
    scope = {"type": "http", "method": "POST", "path": "/invocations", "raw_path": b"/invocations",
             "headers": [(b"content-type", b"application/json")], "query_string": b""}
    await app(scope, receive, send)

asyncio.run(ask())
print(sent[0]["status"], sorted(m for m in sys.modules if m.startswith("opentelemetry")))
"""


def test_a_gateway_without_configuration_does_not_import_opentelemetry(tmp_path):
    include = Path(homeostat.__file__).parents[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", GATEWAY],
        env={
            **env,
            "HOMEOSTAT_HOME": str(tmp_path),
            "PYTHONPATH": f"{include}:{Path(__file__).parents[1]}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "503 []", done.stderr  # no version is loaded yet
