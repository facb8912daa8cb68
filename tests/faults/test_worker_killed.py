"""A worker or its supervisor killed, stopped or hung under load: the others serve, and it restarts."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from pathlib import Path

import pytest

from faults.gateway_processes import Load, ask, installation, until

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def serving(folder):
    with installation(folder) as made:
        made.begin(made.version(("gateway-a",)))
        started = made.start("gateway-a", 2)
        started.ready(2)
        yield started


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """One for all, that the last test stops: starting it takes longer than any test."""
    with serving(tmp_path_factory.mktemp("one")) as started:
        yield started


def alive(pid):
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_every_worker_reports_for_all_workers(gateway):
    body = {"dataframe_records": [{"a": 1.0, "b": 0.0, "colour": "red"}] * 7}
    for _ in range(20):  # a connection each: both workers get some
        assert ask(gateway.port, "POST", "/models/pump/invocations", body)[0] == 200
    counts = {gateway.get("/models/pump")[1]["counters"]["rows"] for _ in range(8)}
    assert counts == {140}
    text = gateway.get("/metrics")[1]
    found = re.findall(r'homeostat_rows_total\{worker="(\d)",.*\} (\d+)', text)
    assert {worker for worker, _ in found} == {"0", "1"}
    assert sum(int(rows) for _, rows in found) == 140
    assert text.count("# TYPE homeostat_rows_total counter") == 1
    verdicts = {line for line in text.splitlines() if line.startswith("homeostat_check_interval_seconds{")}
    assert verdicts == {'homeostat_check_interval_seconds{model="pump"} 3600.0'}, "one of all workers"
    status, _, said = ask(gateway.port, "POST", "/control/flush")
    assert status == 200
    assert b'"written":140' in said.replace(b" ", b"")


def test_a_worker_that_hangs_is_reported_and_not_waited_for(gateway):
    victim = gateway.workers()[1]["pid"]
    os.kill(victim, signal.SIGSTOP)
    try:

        def reported():
            with contextlib.suppress(OSError):  # the connection went to the one that hangs
                status, health = gateway.get("/health")
                return status == 200 and "worker 1 hangs" in " ".join(health["problems"]) and health
            return False

        health = until(reported, "it is reported")
        assert health["status"] == "degraded"
        assert [w["responding"] for w in health["workers"]] == [True, False]
        assert 'homeostat_worker_up{worker="1"} 0.0' in gateway.get("/metrics")[1]
    finally:
        os.kill(victim, signal.SIGCONT)
    until(lambda: gateway.get("/health")[1]["status"] == "ok", "it turns again")


def test_kill_9_of_a_worker_breaks_only_its_own_connections_and_it_restarts_within_seconds(gateway):
    before = gateway.workers()
    victim = before[0]["pid"]
    with Load([gateway.port], 8, pause=0.005) as load:
        until(lambda: len(load.answers) > 200, "requests are answered")
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        until(
            lambda: any(w["pid"] not in (victim, None) and w["restarts"] for w in gateway.workers()), "again"
        )
        until(lambda: all(w["responding"] for w in gateway.workers()), "the worker is back")
        back = time.monotonic()
        time.sleep(1.0)
    # A connection breaks once at most, and a new connection is served by the other worker at once.
    assert {answer.status for answer in load.answers} <= {200, 0}
    broken = [answer.client for answer in load.failed]
    assert len(set(broken)) == len(broken)
    assert all(answer.at >= killed - 0.1 for answer in load.failed)
    meanwhile = [answer for answer in load.answers if killed < answer.at < back and answer.status == 200]
    assert len(meanwhile) > 50
    assert {answer.client for answer in meanwhile} == set(range(8)), "no client waited for the worker"
    assert [w["restarts"] for w in gateway.workers()] == [1, 0]
    text = gateway.get("/metrics")[1]
    assert 'homeostat_worker_restarts_total{worker="0"} 1.0' in text
    assert "worker 0" in gateway.said()


def test_sigterm_lets_requests_end_and_leaves_no_process_behind(gateway):
    pids = [w["pid"] for w in gateway.workers()]
    with Load([gateway.port], 4) as load:
        until(lambda: len(load.answers) > 100, "requests are answered")
        gateway.process.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        assert gateway.process.wait(60) == 0
    assert all(answer.status in (200, 0) for answer in load.answers)
    # What broke had not been taken in: it was refused, or its connection closed between two requests.
    assert all(answer.at >= sent for answer in load.failed)
    assert not any(alive(pid) for pid in pids)
    assert "Traceback" not in gateway.said()
    assert not list((gateway.home / "run").iterdir())


def test_a_killed_supervisor_takes_its_workers_with_it(tmp_path):
    with serving(tmp_path) as gateway:
        pids = [w["pid"] for w in gateway.workers()]
        assert all(alive(pid) for pid in pids)
        gateway.process.kill()
        gateway.process.wait()
        until(lambda: not any(alive(pid) for pid in pids), "the workers have ended")


def test_workers_that_cannot_start_end_the_gateway_with_an_error(tmp_path):
    with installation(tmp_path) as made:
        started = made.start("gateway-a", 2, HOMEOSTAT_STORE="nonsense://nowhere")
        assert started.process.wait(120) != 0
        assert "nonsense" in started.said()
