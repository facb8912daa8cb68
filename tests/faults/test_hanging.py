"""A predict call that never returns: its version is given up, the other answers, no thread is used up."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

import pytest

from homeostat.core.rollout import Phase
from homeostat.hung_calls import Call, ReplacingThreadPool
from serving.gateway_harness import RELEASED, serving, until

ROW = {"a": 1.0, "b": 0.0, "colour": "red"}
STUCK = {"a": -777.0, "b": -999.0, "colour": "red"}  # the champion answers 1 to it
HANGS = {"hangs_on": -777.0}


@pytest.fixture(autouse=True)
def released_at_the_end():
    RELEASED.clear()
    yield
    RELEASED.set()


def test_a_candidate_that_hangs_is_taken_back_and_the_champion_answers_its_requests(world):
    world.begin(world.version())
    with serving(world, candidate_timeout=0.5, champion_timeout=3.0, threads=2) as client:
        client.ready()
        world.begin(world.version(**HANGS), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        unit = 0
        while world.traffic().rollout.phase is Phase.CANARY:
            assert unit < 60
            answer = client.score(STUCK | {"unit": unit})
            assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
            assert answer.headers["x-homeostat-version"] == "1"
            unit += 1
        assert world.traffic().rollout.phase is Phase.ROLLED_BACK
        assert client.score().headers["x-homeostat-version"] == "1"


def test_a_fresh_champion_that_hangs_gives_way_to_the_version_before(world):
    world.begin(world.version())
    with serving(world, champion_timeout=2.0) as client:
        client.ready()
        bad = world.version(**HANGS)
        assert client.order("models/pump/promote", {"version": bad.version}).status_code == 200
        answer = client.score(STUCK)
        assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
        assert answer.headers["x-homeostat-fell-back-from"] == "2"
        until(lambda: world.traffic().champion.version == "1", "it was taken back")
        assert "hangs" in world.traffic().rollout.reason
        until(lambda: world.ports.notifier.of("rolled_back"), "people were told")
        assert client.score().headers["x-homeostat-version"] == "1"


def test_rows_that_hang_a_champion_without_a_version_before_use_up_no_thread_of_anybody(world):
    world.begin(world.version(**HANGS))
    with serving(world, champion_timeout=0.4, threads=2) as client:
        client.ready()
        for _ in range(3):  # more than there are threads
            assert client.score(STUCK).status_code == 504
            until(lambda: client.score().status_code == 200, "other rows are answered again")
        assert world.traffic().champion.version == "1"


def test_a_version_all_of_whose_calls_hang_gets_no_more_threads_until_they_return(world):
    from homeostat.serving.sync.routing_sync import MAX_HUNG_CALLS

    world.begin(world.version(**HANGS))
    with serving(world, champion_timeout=0.2, threads=2) as client:
        client.ready()
        end = time.monotonic() + 60
        while (answer := client.score(STUCK)).status_code == 504:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert answer.status_code == 503
        assert len(client.runtime.pool.hung_calls()) == MAX_HUNG_CALLS
        RELEASED.set()
        until(lambda: client.score().status_code == 200, "it answers again once they have returned")


def test_a_version_that_never_gets_loaded_is_taken_back_and_others_load_meanwhile(world, monkeypatch):
    monkeypatch.setattr("homeostat.serving.sync.load_queue.FETCH_SECONDS", 3.0)
    world.begin(world.version())
    with serving(world) as client:
        client.ready()
        world.begin(world.version(hangs_on=0.0), skip_shadow=True)  # as the warm-up asks
        until(lambda: world.traffic().rollout.phase is Phase.ROLLED_BACK, "it was taken back")
        assert "does not come to an end" in world.traffic().rollout.reason
        world.begin(world.version(), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the next one is loaded")


def test_a_pool_replaces_what_hangs_and_its_threads_end():
    pool, go_on = ReplacingThreadPool(2, "test", hang_seconds=0.1), threading.Event()
    before = threading.active_count()
    stuck = [pool.submit(go_on.wait, 60) for _ in range(2)]
    late: Future[int] = pool.submit(lambda: 7)
    found: list[Call] = []
    until(lambda: found.extend(pool.replace_hung()) or len(found) == 2, "both are found to hang")
    assert [call.args for call in found] == [(60,), (60,)]
    assert late.result(30) == 7
    assert pool.replace_hung() == []
    assert len(pool.hung_calls()) == 2
    go_on.set()
    assert [each.result(30) for each in stuck] == [True, True]
    until(lambda: not pool.hung_calls(), "they are back")
    failed = pool.submit(int, "x")
    assert isinstance(failed.exception(30), ValueError)
    pool.shutdown(cancel_futures=True)
    until(lambda: threading.active_count() <= before, "every thread is gone")
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(int)
