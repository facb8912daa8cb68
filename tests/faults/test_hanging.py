"""A predict call that never returns: its version is rolled back, others serve, no thread is used up."""

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


def test_a_candidate_that_hangs_is_rolled_back_and_the_champion_serves_its_requests(setup):
    setup.begin(setup.version())
    with serving(setup, candidate_timeout=0.5, champion_timeout=3.0, threads=2) as client:
        client.ready()
        setup.begin(setup.version(**HANGS), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the canary began")
        unit = 0
        while setup.traffic().rollout.phase is Phase.CANARY:
            assert unit < 60
            answer = client.score(STUCK | {"unit": unit})
            assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
            assert answer.headers["x-homeostat-version"] == "1"
            unit += 1
        assert setup.traffic().rollout.phase is Phase.ROLLED_BACK
        assert client.score().headers["x-homeostat-version"] == "1"


def test_a_new_champion_that_hangs_is_rolled_back(setup):
    setup.begin(setup.version())
    with serving(setup, champion_timeout=2.0) as client:
        client.ready()
        bad = setup.version(**HANGS)
        assert client.order("models/pump/promote", {"version": bad.version}).status_code == 200
        answer = client.score(STUCK)
        assert (answer.status_code, answer.json()) == (200, {"predictions": [1.0]})
        assert answer.headers["x-homeostat-fell-back-from"] == "2"
        until(lambda: setup.traffic().champion.version == "1", "it was rolled back")
        assert "hangs" in setup.traffic().rollout.reason
        until(lambda: setup.ports.notifier.of("rolled_back"), "a notice was sent")
        assert client.score().headers["x-homeostat-version"] == "1"


def test_hanging_rows_of_a_champion_without_a_previous_version_use_up_no_threads(setup):
    setup.begin(setup.version(**HANGS))
    with serving(setup, champion_timeout=0.4, threads=2) as client:
        client.ready()
        for _ in range(3):  # more than there are threads
            assert client.score(STUCK).status_code == 504
            until(lambda: client.score().status_code == 200, "other rows are answered again")
        assert setup.traffic().champion.version == "1"


def test_a_version_whose_calls_all_hang_gets_no_threads_until_they_return(setup):
    from homeostat.serving.sync.routing_sync import MAX_HUNG_CALLS

    setup.begin(setup.version(**HANGS))
    with serving(setup, champion_timeout=0.2, threads=2) as client:
        client.ready()
        end = time.monotonic() + 60
        while (answer := client.score(STUCK)).status_code == 504:
            assert time.monotonic() < end
            time.sleep(0.1)
        assert answer.status_code == 503
        assert len(client.runtime.pool.hung_calls()) == MAX_HUNG_CALLS
        RELEASED.set()
        until(lambda: client.score().status_code == 200, "it answers again once they have returned")


def test_a_version_that_never_finishes_loading_is_rolled_back_and_others_load_meanwhile(setup, monkeypatch):
    monkeypatch.setattr("homeostat.serving.sync.load_queue.FETCH_SECONDS", 3.0)
    setup.begin(setup.version())
    with serving(setup) as client:
        client.ready()
        setup.begin(setup.version(hangs_on=0.0), skip_shadow=True)  # as the warm-up asks
        until(lambda: setup.traffic().rollout.phase is Phase.ROLLED_BACK, "it was rolled back")
        assert "does not come to an end" in setup.traffic().rollout.reason
        setup.begin(setup.version(), skip_shadow=True)
        until(lambda: client.runtime.states["pump"].table.candidate is not None, "the next one is loaded")


def test_a_pool_replaces_hung_threads_and_all_threads_end():
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
