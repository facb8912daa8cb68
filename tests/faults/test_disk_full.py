"""A full disk: ``log: async`` serves and counts, ``log: sync`` responds 503, and no canary advances."""

from __future__ import annotations

import os
import resource
import signal
import time
from datetime import timedelta

import pytest

from faults.crash_harness import Clients, Crashing, metric
from faults.gateway_processes import ROW, ask, installation, until
from homeostat.core.rollout import Phase, Tally
from homeostat.rollouts.advance import advance
from homeostat.rollouts.recording_guard import REPORT_EXPIRES
from homeostat.serving.recorder import journal
from serving.gateway_harness import make_gateway_fixture, model_config, serving
from serving.gateway_harness import until as soon

BODY = {"dataframe_records": [ROW]}


@pytest.fixture
def made(tmp_path):
    with installation(tmp_path) as made:
        yield made


def disk(gateway, room):
    """Limit the size of files that the process may write, in bytes; -1: no limit."""
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))


def score(gateway, name="r"):
    path = "/models/pump/invocations"
    return ask(gateway.port, "POST", path, BODY, {"X-Request-Id": name})[0]


def test_async_serves_and_rows_that_never_reached_the_disk_are_counted_as_lost(made):
    crashing = Crashing(made)
    gateway = crashing.start()
    gateway.ready(1)
    for i in range(5):
        assert score(gateway, f"before-{i}") == 200
    assert ask(gateway.port, "POST", "/control/flush")[0] == 200
    disk(gateway, 0)
    with Clients(gateway.port, 2) as clients:
        until(lambda: len(clients.sent.statuses) > 50, "answers go on")
        health = gateway.get("/health")[1]
    assert set(clients.sent.statuses) == {200}
    assert health["status"] == "degraded"
    assert any("journal cannot be written" in trouble for trouble in health["problems"])
    assert gateway.get("/models/pump")[1]["log"]["dropping_rows"] is True
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait(60)
    served = crashing.counted()
    assert served >= 5 + len(clients.sent.acknowledged), "the counter's page is already allocated"
    shown, _ = crashing.recovered()
    assert shown["lost_rows_previous_runs"] == served - 5
    assert sorted(crashing.logged()) == [f"before-{i}" for i in range(5)]


def test_async_rows_held_while_the_disk_was_full_are_logged_when_there_is_room(made):
    crashing = Crashing(made)
    gateway = crashing.start()
    gateway.ready(1)
    disk(gateway, 0)
    names = [f"r{i}" for i in range(20)]
    assert [score(gateway, name) for name in names] == [200] * 20
    until(lambda: gateway.get("/models/pump")[1]["log"]["dropping_rows"], "it says so")
    disk(gateway, -1)
    until(lambda: len(crashing.logged()) == 20, "they arrive")
    assert sorted(crashing.logged()) == sorted(names)
    assert metric(gateway.get("/metrics")[1], "homeostat_log_lost_rows") == 0
    until(lambda: gateway.get("/health")[1]["status"] == "ok", "the gateway is healthy again")


def test_sync_responds_503_on_a_full_disk_and_serves_again_when_there_is_room(made):
    crashing = Crashing(made, sync=True)
    gateway = crashing.start()
    gateway.ready(1)
    assert score(gateway, "before") == 200
    disk(gateway, 0)
    status, headers, body = ask(gateway.port, "POST", "/models/pump/invocations", BODY)
    assert status == 503
    assert b"allows no prediction that is not logged" in body
    assert headers["retry-after"]
    assert {score(gateway) for _ in range(10)} == {503}
    labels = {"labels": [{"id": "before", "label": 1}]}
    assert ask(gateway.port, "POST", "/models/pump/labels", labels)[0] == 503
    disk(gateway, -1)
    until(lambda: score(gateway, "after") == 200, "it answers again")

    def labelled():
        status, _, said = ask(gateway.port, "POST", "/models/pump/labels", labels)
        return status == 200 and said.replace(b" ", b"")

    assert b'"accepted":1' in until(labelled, "labels are taken"), "what was refused is not known"
    gateway.process.send_signal(signal.SIGKILL)
    gateway.process.wait(60)
    served = crashing.counted()
    shown, _ = crashing.recovered()
    assert sorted(crashing.logged()) == ["after", "before"]
    assert (served, shown["lost_rows_previous_runs"]) == (2, 0), "what was refused was not served"


def test_a_canary_is_held_while_its_rows_are_not_recorded_and_can_still_be_rolled_back(tmp_path, monkeypatch):
    real, full = journal.write_all, [False]

    def write_all(handle, data):
        if full[0]:
            raise OSError(28, os.strerror(28))
        real(handle, data)

    monkeypatch.setattr(journal, "write_all", write_all)
    canary = {"steps": [0.5], "step_duration": "1h", "min_samples": 5}
    setup = make_gateway_fixture(tmp_path, model_config(canary=canary))
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        full[0] = True
        client.score()
        soon(lambda: client.runtime.logs.dropping_rows, "rows are not recorded")
        setup.begin(setup.version(), skip_shadow=True)
        time.sleep(1.0)
        assert setup.traffic().rollout.phase is Phase.REGISTERED
        health = client.http.get("/health").json()
        assert any("rollouts are held" in problem for problem in health["problems"]), health
        assert client.order("models/pump/rollback").status_code == 200
        setup.begin(setup.version(), skip_shadow=True)
        full[0] = False
        soon(lambda: not client.runtime.logs.dropping_rows, "rows are recorded again", 90)
        setup.ports.clock.ahead += REPORT_EXPIRES + timedelta(seconds=5)
        soon(lambda: setup.traffic().rollout.phase is Phase.CANARY, "the canary begins")


def candidate_rows(ledger):
    """Rows that the candidate was asked for in the first canary step, as the ledger knows them."""
    return ledger.evidence("pump", "rollout-2").get(("canary:0", "candidate"), Tally()).rows


def test_airflow_does_not_advance_a_canary_whose_rows_a_gateway_does_not_record(tmp_path, monkeypatch):
    real, full = journal.write_all, [False]

    def write_all(handle, data):
        if full[0]:
            raise OSError(28, os.strerror(28))
        real(handle, data)

    monkeypatch.setattr(journal, "write_all", write_all)
    canary = {"steps": [0.1, 0.5], "step_duration": "1h", "min_samples": 5}
    setup = make_gateway_fixture(tmp_path, model_config(canary=canary, rollback={"p99_latency_ms": 5000}))
    clock, ledger = setup.ports.clock, setup.ports.ledger
    setup.begin(setup.version())

    def airflow_advances():
        return advance("pump", ledger, by="airflow", now=clock.now()).traffic.rollout

    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(), skip_shadow=True)
        soon(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        full[0] = True
        for unit in range(100):
            client.score(ROW | {"unit": unit})
        soon(lambda: client.runtime.logs.dropping_rows, "rows are not recorded")
        soon(lambda: candidate_rows(ledger) >= 5, "the candidate has enough evidence")
        clock.ahead += timedelta(hours=1)
        time.sleep(1.0)
        assert airflow_advances().stage == "canary:0", "the gateway drops rows: no step is taken"
        full[0] = False
        client.score()
        soon(lambda: not client.runtime.logs.dropping_rows, "rows are recorded again", 90)
        clock.ahead += REPORT_EXPIRES + timedelta(seconds=5)
        soon(lambda: airflow_advances().stage == "canary:1", "the gateway's report has expired")
