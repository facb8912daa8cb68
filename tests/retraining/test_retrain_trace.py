"""All steps of a retrain and the phases of its rollout are one trace, in whichever process they run."""

from dataclasses import replace
from datetime import timedelta

import pytest

from homeostat.adapters.tracer import open_tracer
from homeostat.config.errors import HomeostatError, Superseded, Unavailable
from homeostat.retraining.assemble import assemble
from homeostat.retraining.train import train
from homeostat.rollouts.advance import advance
from homeostat.rollouts.lifecycle import finalize
from homeostat.rollouts.manual import manual_promote
from homeostat.storage.retrain_trace import retrain_traceparent, traced_step
from homeostat.tracing import Incoming
from otlp_receiver import otlp_receiver
from sample_model import retrain

AIRFLOW = f"00-{'a' * 32}-{'b' * 16}-00"


@pytest.fixture
def receiver():
    with otlp_receiver() as found:
        yield found


@pytest.fixture
def process(ports, receiver, monkeypatch):
    """A function that returns the ports of another process: with a tracer of its own."""

    def made(service="airflow", incoming=None):
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint}
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        tracer = open_tracer(service, env)
        return replace(ports, tracer=tracer.started_in(incoming or Incoming()))

    return made


def by_name(receiver, *processes):
    for each in processes:
        each.tracer.flush()
    return {span.name: span for span in receiver.spans}


def test_a_retrain_and_its_rollout_are_one_trace_across_processes(
    config, ports, ask, quick, process, receiver
):
    retrain(config, ports, ask("run 1"))
    airflow, gateway = process("airflow", Incoming(AIRFLOW, traced=False)), process("gateway")
    begun = retrain(config, airflow, ask("run 2"), to_the_end=False)
    rollout = ports.ledger.read("sample").rollout
    assert rollout.traceparent.startswith(f"00-{'a' * 32}-")
    while ports.ledger.read("sample").active is not None:
        advance("sample", ports.ledger, by="gateway:1", now=ports.clock.now(), tracer=gateway.tracer)
        ports.clock.advance(timedelta(hours=4))
    finalize(config, begun["run_key"], process("airflow-2"))
    spans = by_name(receiver, airflow, gateway, process("airflow-2"))
    steps = [f"retrain.{step}" for step in ("assemble", "train", "validate", "gate", "register", "finalize")]
    phases = ["rollout.load", "rollout.shadow"]
    assert {"retrain", *steps, *phases} <= set(spans)
    assert {span.trace for span in spans.values()} == {"a" * 32}, "the trace of Airflow's DAG run"
    whole = spans["retrain"]
    assert (whole.parent, f"00-{whole.trace}-{whole.id}-01") == ("", rollout.traceparent)
    assert {span.parent for span in spans.values()} == {"", whole.id}
    for name, service in ((steps[0], "airflow"), ("rollout.shadow", "gateway"), (steps[-1], "airflow-2")):
        assert spans[name].service == service
    gate, shadow = spans["retrain.gate"].attributes, spans["rollout.shadow"].attributes
    assert (gate["homeostat.model"], gate["homeostat.verdict"]) == ("sample", "passed")
    assert (shadow["homeostat.version"], shadow["homeostat.by"]) == ("2", "gateway:1")
    assert spans["retrain.register"].attributes["homeostat.version"] == "2"
    assert whole.attributes["homeostat.verdict"] == spans["retrain.finalize"].attributes["homeostat.verdict"]
    (run,) = [r for r in ports.registry.runs.values() if r.tags.get("homeostat.trace_id")]
    assert run.tags["homeostat.trace_id"] == "a" * 32


def test_a_step_is_a_child_of_airflows_task_where_airflow_sends_traces(config, ask, process, receiver):
    task = Incoming(f"00-{'c' * 32}-{'1' * 16}-01")
    airflow = process("airflow", task)
    assemble(config, ask(), airflow)
    cleared = process("airflow", Incoming(f"00-{'d' * 32}-{'2' * 16}-01"))  # Airflow gives it another trace
    train(config, ask().run_key, cleared)
    spans = by_name(receiver, airflow, cleared)
    first, second = spans["retrain.assemble"], spans["retrain.train"]
    assert (first.trace, first.parent) == ("c" * 32, "1" * 16)
    assert (second.trace, second.links) == ("c" * 32, (("d" * 32, "2" * 16),))
    own = retrain_traceparent(airflow, "sample", ask().run_key)
    assert second.parent == own.split("-")[2]


def test_a_step_that_runs_again_is_not_recorded_again(config, ask, process, receiver):
    airflow = process()
    for _ in range(2):
        assemble(config, ask(), airflow)
    airflow.tracer.flush()
    assert [span.name for span in receiver.spans] == ["retrain.assemble"]


@pytest.mark.parametrize(
    ("error", "verdict", "failed"),
    [
        (Superseded("another runs"), "superseded", ""),
        (Unavailable("MLflow is away"), "retried", "MLflow is away"),
        (HomeostatError("no rows"), "failed", "no rows"),
        (KeyError("x"), "failed", "'x'"),
    ],
)
def test_what_ends_a_step_is_in_its_span(process, receiver, error, verdict, failed):
    airflow = process()
    with pytest.raises(type(error)), traced_step(airflow, "sample", "k", "train"):
        raise error
    (span,) = by_name(receiver, airflow).values()
    assert (span.attributes["homeostat.verdict"], span.error) == (verdict, failed)


def test_a_retrain_that_the_gate_refuses_ends_its_trace_once(config, ask, quick, process, receiver, ports):
    strict = config.model_copy(update={"gate": config.gate.model_copy(update={"min_training_rows": 10**9})})
    airflow = process()
    with pytest.raises(Superseded):
        retrain(strict, airflow, ask())
    for _ in range(2):
        finalize(strict, ask().run_key, airflow)
    airflow.tracer.flush()
    (whole,) = receiver.named("retrain")
    assert (whole.attributes["homeostat.verdict"], whole.attributes["homeostat.stage"]) == ("refused", "gate")
    assert receiver.named("retrain.gate")[0].attributes["homeostat.verdict"] == "refused"


def test_a_person_who_ends_a_phase_is_in_its_span(config, ports, ask, quick, process, receiver):
    retrain(config, ports, ask("run 1"))
    airflow = process()
    retrain(config, airflow, ask("run 2"), to_the_end=False)
    manual_promote(config, airflow, "2", by="anna", reason="because")
    spans = by_name(receiver, airflow)
    assert spans["rollout.load"].attributes["homeostat.by"] == "anna"
    assert spans["rollout.load"].attributes["homeostat.verdict"] == "champion"


def test_without_traces_the_ledger_and_the_store_hold_no_trace(config, ports, ask, quick):
    retrain(config, ports, ask("run 1"))
    assert "traceparent" not in ports.ledger.read("sample").to_json()["rollout"]
    assert [key for key in ports.store.list("retrain") if key.endswith("trace.json")] == []
