"""kill -9 at numbered points, under load: each served row is logged or counted as lost, exactly."""

from __future__ import annotations

import json
import signal
import time

import pytest

from faults.crash_harness import POINTS, Clients, Crashing, load_until_death, metric
from faults.gateway_processes import installation, until

SERVING = range(1, 8)
RECOVERING = range(8, 12)


@pytest.fixture
def made(tmp_path):
    with installation(tmp_path) as made:
        yield made


def adds_up(crashing, sent, served):
    """Restart without a fault, and check that served rows are logged or lost, exactly."""
    shown, metrics = crashing.recovered()
    logged, lost = crashing.logged(), shown["lost_rows_previous_runs"]
    assert len(set(logged)) == len(logged), "no row twice"
    assert set(logged) <= set(sent.asked)
    assert len(logged) + lost == served
    assert len(set(sent.acknowledged) - set(logged)) <= lost
    assert metric(metrics, "homeostat_log_lost_rows") == lost
    files = list((crashing.made.folder / "shared" / "store" / "log" / "pump" / "losses").glob("*.json"))
    assert sum(json.loads(file.read_text())["lost"] for file in files) == lost
    return set(logged), lost


@pytest.mark.parametrize("point", SERVING, ids=POINTS.get)
def test_async_rows_are_logged_or_counted_as_lost_after_a_kill(made, point):
    crashing = Crashing(made)
    gateway = crashing.start(point)
    gateway.ready(1)
    sent = load_until_death(gateway)
    served = crashing.counted()
    assert len(sent.acknowledged) <= served <= len(sent.asked)
    _, lost = adds_up(crashing, sent, served)
    if point in (1, 2, 3, 4):
        assert lost > 0 or point == 1, "this point is meant to lose something"


@pytest.mark.parametrize("point", SERVING, ids=POINTS.get)
def test_sync_rows_with_a_response_are_logged_after_a_kill(made, point):
    crashing = Crashing(made, sync=True)
    gateway = crashing.start(point)
    gateway.ready(1)
    sent = load_until_death(gateway)
    logged, _ = adds_up(crashing, sent, crashing.counted())
    assert len(sent.acknowledged) > 10
    assert set(sent.acknowledged) <= logged


@pytest.mark.parametrize("point", RECOVERING, ids=POINTS.get)
def test_a_recovery_after_a_killed_recovery_gives_the_same_losses(made, point):
    crashing = Crashing(made, env={"HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "600"})
    gateway = crashing.start(4)
    gateway.ready(1)
    sent = load_until_death(gateway)
    served = crashing.counted()
    again = crashing.start(point)
    until(lambda: again.process.poll() is not None, f"it dies: {again.said()}")
    assert again.process.poll() == -signal.SIGKILL
    _, lost = adds_up(crashing, sent, served)
    assert lost > 0


def test_after_repeated_kills_every_row_is_logged_once_or_counted_as_lost(made):
    crashing = Crashing(made)
    asked, acknowledged, served, stalled = [], {}, 0, 0.0
    for turn in range(3):
        gateway = crashing.start()
        gateway.ready(1)
        until(crashing.recovered_all, "the one before is cleared up")
        with Clients(gateway.port, prefix=f"{turn}-") as clients:
            until(lambda c=clients: len(c.sent.acknowledged) > 50, "answers are given")
            time.sleep(0.5 + 0.17 * turn)
            killed = time.monotonic()
            gateway.process.kill()
            gateway.process.wait(60)
        served += crashing.counted()
        asked += clients.sent.asked
        stalled = max(stalled, clients.sent.slowest())
        acknowledged |= {name: killed - at for name, at in clients.sent.acknowledged.items()}
    shown, _ = crashing.recovered()
    logged, lost = crashing.logged(), shown["lost_rows_previous_runs"]
    assert len(acknowledged) > 100
    assert len(set(logged)) == len(logged)
    assert set(logged) <= set(asked)
    assert len(logged) + lost == served
    missing = set(acknowledged) - set(logged)
    assert len(missing) <= lost
    # A tenth of a second at most, plus the time for which the machine stalled.
    assert all(acknowledged[name] <= 0.1 + stalled for name in missing), stalled


@pytest.mark.parametrize("point", [3, 4, 5], ids=POINTS.get)
def test_every_accepted_label_is_logged_after_a_kill(made, point):
    crashing = Crashing(made)
    gateway = crashing.start(point)
    gateway.ready(1)
    sent = load_until_death(gateway, path="labels")
    served = crashing.counted("labels")
    shown, _ = crashing.recovered()
    logged = crashing.logged("labels")
    assert len(sent.acknowledged) > 5
    assert set(sent.acknowledged) <= set(logged)
    assert len(logged) + shown["lost_labels_previous_runs"] == served
