"""Requests that wait together are predicted together; one alone never waits; a slow call stops nobody."""

import asyncio
import threading
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from homeostat.serving.inference import batcher as room
from homeostat.serving.inference.adaptive_wait import ASIDE, Pace
from homeostat.serving.inference.batcher import Batcher, Busy
from homeostat.serving.inference.scoring import PredictFailed, Scorer
from homeostat.serving.scoring_request import Rows


def rows(*values):
    return Rows(len(values), ([float(v) for v in values],))


def scorer(log, *, wait=0.0, gate=None):
    def predict(batch):
        log.append([r.count for r in batch])
        time.sleep(wait)
        if gate is not None:
            gate.wait(60)
        values = np.array([v for r in batch for v in r.columns[0]])
        if (values < 0).any():
            raise ValueError("bad row")
        return SimpleNamespace(prediction=values * 2, confidence=None)

    return Scorer("1", "d", predict)


class AtOnce(Executor):
    """A pool whose threads are never late: the work is done when it has been handed over."""

    def submit(self, fn, /, *args, **more):
        done = Future()
        done.set_result(fn(*args, **more))
        return done


def told(story, *, wait=0.0, gate=None, pool=None, **options):
    """Run a story with a batcher over one worker thread, whose calls wait for the gate."""
    log = []

    async def run():
        with pool or ThreadPoolExecutor(1) as threads:
            await story(Batcher(scorer(log, wait=wait, gate=gate), threads, **options))

    asyncio.run(run())
    return log


async def begun_on(batcher):
    while not batcher._running:  # noqa: ASYNC110  # passes of the loop are what is counted here
        await asyncio.sleep(0)


def test_requests_of_one_pass_of_the_loop_are_one_call():
    async def story(batcher):
        answers = await asyncio.gather(*(batcher.submit(rows(i, i)) for i in range(6)))
        assert [a.predictions for a in answers] == [[2.0 * i] * 2 for i in range(6)]
        assert [a.timed for a in answers] == [True] + [False] * 5

    assert told(story) == [[2] * 6]


def test_requests_that_wait_for_a_call_go_together_and_the_loop_goes_on_meanwhile():
    gate = threading.Event()

    async def story(batcher):
        first = batcher.submit(rows(0))
        await begun_on(batcher)
        others = [batcher.submit(rows(i)) for i in range(1, 6)]
        assert not first.done(), "the loop is free while the call runs"
        gate.set()
        answers = await asyncio.gather(first, *others)
        assert [a.predictions for a in answers] == [[2.0 * i] for i in range(6)]

    assert told(story, gate=gate) == [[1], [1] * 5]


def test_one_alone_is_answered_without_a_timer(monkeypatch):
    async def story(batcher):
        loop = asyncio.get_running_loop()

        def never(*_):
            raise AssertionError("a timer was set")

        monkeypatch.setattr(loop, "call_later", never)
        monkeypatch.setattr(loop, "call_at", never)
        future, passes = batcher.submit(rows(1)), 0
        while not future.done():
            passes += 1
            await asyncio.sleep(0)
        assert passes <= 3

    assert told(story, pool=AtOnce()) == [[1]]


def test_a_bad_request_in_a_batch_fails_alone():
    async def story(batcher):
        futures = [batcher.submit(rows(value)) for value in (0, 1, -1, 2)]
        done = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(d, PredictFailed) for d in done] == [False, False, True, False]
        assert done[3].predictions == [4.0]

    told(story)


def test_the_queue_is_bounded_and_batches_are_too():
    async def story(batcher):
        futures = [batcher.submit(rows(1, 1)) for _ in range(5)]
        with pytest.raises(Busy):
            batcher.submit(rows(1, 1))
        await asyncio.gather(*futures)
        await batcher.submit(rows(*[1] * 50))  # larger than a batch, alone: goes as it is

    assert told(story, max_batch_rows=4, max_waiting_rows=10) == [[2, 2], [2, 2], [2], [50]]


def test_requests_whose_client_left_are_not_predicted():
    async def story(batcher):
        first, second = batcher.submit(rows(1)), batcher.submit(rows(2))
        second.cancel()
        await first
        assert (await batcher.submit(rows(3))).predictions == [6.0]

    assert told(story) == [[1], [1]]


def test_a_version_that_hangs_is_given_up_in_time_and_so_is_whoever_waits_behind_it():
    gate = threading.Event()

    async def story(batcher):
        first = batcher.submit(rows(1), 0.05)
        await begun_on(batcher)
        second = batcher.submit(rows(2), 0.05)
        done = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(d) for d in done] == [TimeoutError, TimeoutError]
        gate.set()  # neither waited for the call
        assert (await batcher.submit(rows(3))).predictions == [6.0]

    assert told(story, gate=gate) == [[1], [1]], "whose time was over is not predicted any more"


def test_the_loop_stands_aside_for_a_slow_version_three_times_and_then_leaves_it_to_its_thread(
    monkeypatch,
):
    ended, stood = room._ended, []

    def stand_aside(work, seconds):
        begun = time.monotonic()
        found = ended(work, seconds)
        stood.append((seconds, found, time.monotonic() - begun >= seconds))
        return found

    async def story(batcher):
        for _ in range(6):
            await batcher.submit(rows(1))

    monkeypatch.setattr(room, "_ended", stand_aside)
    told(story, wait=0.03)
    assert stood == [(ASIDE, False, True)] * 3


def tried(pace, rows, most):
    """How many batches of this size are left to their thread before one is waited for."""
    return next(i for i in range(most) if pace.quick(rows))


def test_the_pace_follows_what_a_version_can_do():
    pace = Pace(4096)
    for _ in range(3):
        assert pace.quick(100), "once or twice is an accident"
        pace.late(100)
    assert pace.quick(50)
    assert not pace.quick(100)
    first = tried(pace, 100, 200)
    assert first > 20, "tried again after a number of batches"
    for _ in range(3):
        pace.late(100)
    assert tried(pace, 100, 200) > 1.5 * first, "later each time that it goes wrong"


def test_accidents_far_apart_change_nothing():
    pace = Pace(4096)
    for _ in range(200):
        pace.late(8)
        for _ in range(10):
            pace.in_time(8)
    assert pace.quick(4096)


def test_a_version_that_is_always_slow_is_hardly_ever_waited_for():
    pace, waited = Pace(4096), 0
    for _ in range(20_000):
        if pace.quick(1):
            waited += 1
            pace.late(1)
    assert waited < 60
