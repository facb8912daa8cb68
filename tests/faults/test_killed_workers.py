"""kill -9 of one worker, then of the whole gateway: no row is logged twice, and losses are counted."""

from __future__ import annotations

import contextlib
import os
import signal
import time

import pytest

from faults.crash_harness import Clients, Crashing
from faults.gateway_processes import installation, until
from homeostat.serving.recorder.counters import Counters


@pytest.mark.slow
def test_after_a_worker_and_then_all_are_killed_every_row_is_logged_once_or_lost(tmp_path):
    with installation(tmp_path) as made:
        crashing = Crashing(made)
        gateway = made.start("crash", 2, HOMEOSTAT_GATEWAY_FLUSH_SECONDS="0.3")
        gateway.ready(2)
        first = {worker["pid"] for worker in gateway.workers()}
        with Clients(gateway.port, 8, prefix="a-") as clients:
            until(lambda: len(clients.sent.acknowledged) > 60, "rows are served")
            time.sleep(1.0)
            one = min(first)
            counts = {path: Counters.open(path / "counts") for path in crashing.journals.glob("crash-*")}
            os.kill(one, signal.SIGKILL)
            until(lambda: any(not path.exists() for path in counts), "its sibling clears up after it")
            served = sum(  # the mapped page outlives the process
                each.get("predictions/pump/counted") for path, each in counts.items() if not path.exists()
            )
            until(lambda: crashing.recovered_all(2), "the worker is restarted", 120)
            until(lambda: all(w["responding"] for w in gateway.workers()), "all workers respond", 120)
        with Clients(gateway.port, 8, prefix="b-") as more:
            until(lambda: len(more.sent.acknowledged) > 60, "rows are served again")
            time.sleep(1.0)
            pids = [worker["pid"] for worker in gateway.workers()]
            for pid in [gateway.process.pid, *pids]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            gateway.process.wait(60)
        until(lambda: len(crashing.orphans()) == 2, "both have ended")
        served += crashing.counted()
        shown, _ = crashing.recovered()
        logged, lost = crashing.logged(), shown["lost_rows_previous_runs"]
        acknowledged = {**clients.sent.acknowledged, **more.sent.acknowledged}
        assert len(acknowledged) > 100
        assert len(set(logged)) == len(logged)
        assert set(logged) <= {*clients.sent.asked, *more.sent.asked}
        assert len(logged) + lost == served
        assert len(set(acknowledged) - set(logged)) <= lost
