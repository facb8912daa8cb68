"""A call that is waited for: its result, its error, and one callback however the two threads interleave."""

import threading
from concurrent.futures import CancelledError

import pytest

from homeostat.hung_calls import AwaitedCall, ReplacingThreadPool


@pytest.fixture
def pool():
    with ReplacingThreadPool(2, "test", hang_seconds=60) as made:
        yield made


def fail():
    raise ValueError("bad")


def test_a_call_ends_with_its_result_or_its_error(pool):
    good, bad = pool.start(max, 1, 2), pool.start(fail)
    assert good.wait(60)
    assert (good.result, good.error) == (2, None)
    assert bad.wait(60)
    assert str(bad.error) == "bad"


def test_waiting_ends_before_a_call_that_takes_longer(pool):
    gate, ended = threading.Event(), threading.Event()
    call = pool.start(gate.wait, 60)
    assert not call.wait(0.001)
    call.when_ended(ended.set)
    assert not ended.is_set()
    gate.set()
    assert ended.wait(60)
    assert call.result is True


def test_the_callback_is_called_once_whichever_thread_is_first(pool):
    counts, everything = [], threading.Semaphore(0)
    for _ in range(2000):
        mine = []
        counts.append(mine)
        call = pool.start(int)
        call.when_ended(lambda mine=mine: (mine.append(1), everything.release()))
    for _ in counts:
        assert everything.acquire(timeout=60)
    assert [len(mine) for mine in counts] == [1] * 2000


def test_a_call_that_had_ended_calls_back_at_once():
    call, seen = AwaitedCall(), []
    call.set_result(1)
    call.when_ended(lambda: seen.append(call.result))
    assert seen == [1]


def test_shutdown_cancels_calls_that_wait_for_a_thread():
    gate, begun = threading.Event(), threading.Event()
    pool = ReplacingThreadPool(1, "test", hang_seconds=60)
    running = pool.start(lambda: (begun.set(), gate.wait(60)))
    assert begun.wait(60)
    waiting = pool.start(int)
    pool.shutdown(cancel_futures=True)
    assert waiting.wait(60)
    assert isinstance(waiting.error, CancelledError)
    gate.set()
    assert running.wait(60)
