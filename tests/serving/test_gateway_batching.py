"""Waiting requests are predicted together; a single one never waits; a slow call does not block the loop."""

import asyncio
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from homeostat.hung_calls import AwaitedCall, ReplacingThreadPool
from homeostat.serving.inference.adaptive_wait import LOOP_WAIT_SECONDS, AdaptiveWait
from homeostat.serving.inference.batcher import Batcher, QueueFull
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


class SynchronousPool(ReplacingThreadPool):
    """A pool that runs each call inside ``start``."""

    def start(self, fn, /, *args):
        done = AwaitedCall()
        done.set_result(fn(*args))
        return done


def run_scenario(scenario, *, wait=0.0, gate=None, pool=None, **options):
    """Run a scenario with a batcher over one worker thread whose calls wait for the gate."""
    log = []

    async def run():
        with (pool or ReplacingThreadPool)(1, "test", hang_seconds=60) as threads:
            await scenario(Batcher(scorer(log, wait=wait, gate=gate), threads, **options))

    asyncio.run(run())
    return log


async def call_started(batcher):
    while not batcher._running:  # noqa: ASYNC110  # passes of the loop are what is counted here
        await asyncio.sleep(0)


def test_requests_of_one_pass_of_the_loop_are_one_call():
    async def scenario(batcher):
        results = await asyncio.gather(*(batcher.submit(rows(i, i)) for i in range(6)))
        assert [r.predictions for r in results] == [[2.0 * i] * 2 for i in range(6)]
        assert [r.timed for r in results] == [True] + [False] * 5

    assert run_scenario(scenario) == [[2] * 6]


def test_requests_that_wait_for_a_call_form_the_next_batch_and_the_loop_stays_free():
    gate = threading.Event()

    async def scenario(batcher):
        first = batcher.submit(rows(0))
        await call_started(batcher)
        others = [batcher.submit(rows(i)) for i in range(1, 6)]
        assert not first.done(), "the loop is free while the call runs"
        gate.set()
        results = await asyncio.gather(first, *others)
        assert [r.predictions for r in results] == [[2.0 * i] for i in range(6)]

    assert run_scenario(scenario, gate=gate) == [[1], [1] * 5]


def test_a_single_request_is_predicted_without_a_timer(monkeypatch):
    async def scenario(batcher):
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

    assert run_scenario(scenario, pool=SynchronousPool) == [[1]]


def test_a_bad_request_in_a_batch_fails_alone():
    async def scenario(batcher):
        futures = [batcher.submit(rows(value)) for value in (0, 1, -1, 2)]
        done = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(d, PredictFailed) for d in done] == [False, False, True, False]
        assert done[3].predictions == [4.0]

    run_scenario(scenario)


def test_the_queue_is_bounded_and_batches_are_too():
    async def scenario(batcher):
        futures = [batcher.submit(rows(1, 1)) for _ in range(5)]
        with pytest.raises(QueueFull):
            batcher.submit(rows(1, 1))
        await asyncio.gather(*futures)
        await batcher.submit(rows(*[1] * 50))  # larger than a batch, alone: goes as it is

    assert run_scenario(scenario, max_batch_rows=4, max_waiting_rows=10) == [[2, 2], [2, 2], [2], [50]]


def test_cancelled_requests_are_not_predicted():
    async def scenario(batcher):
        first, second = batcher.submit(rows(1)), batcher.submit(rows(2))
        second.cancel()
        await first
        assert (await batcher.submit(rows(3))).predictions == [6.0]

    assert run_scenario(scenario) == [[1], [1]]


def test_a_hung_call_and_the_requests_behind_it_time_out():
    gate = threading.Event()

    async def scenario(batcher):
        first = batcher.submit(rows(1), 0.05)
        await call_started(batcher)
        second = batcher.submit(rows(2), 0.05)
        done = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(d) for d in done] == [TimeoutError, TimeoutError]
        gate.set()  # neither waited for the call
        assert (await batcher.submit(rows(3))).predictions == [6.0]

    assert run_scenario(scenario, gate=gate) == [[1], [1]], "a request that timed out is not predicted"


def test_the_loop_waits_for_a_slow_version_three_times_and_then_leaves_it_to_its_thread(
    monkeypatch,
):
    ended, waits = AwaitedCall.wait, []

    def recorded_wait(work, seconds):
        begun = time.monotonic()
        found = ended(work, seconds)
        waits.append((seconds, found, time.monotonic() - begun >= seconds))
        return found

    async def scenario(batcher):
        for _ in range(6):
            await batcher.submit(rows(1))

    monkeypatch.setattr(AwaitedCall, "wait", recorded_wait)
    run_scenario(scenario, wait=0.03)
    assert waits == [(LOOP_WAIT_SECONDS, False, True)] * 3


def batches_until_retry(wait, rows, most):
    """Return how many batches of this size are left to their thread before the loop waits for one."""
    return next(i for i in range(most) if wait.worth_waiting(rows))


def test_the_wait_adapts_to_the_speed_of_a_version():
    wait = AdaptiveWait(4096)
    for _ in range(3):
        assert wait.worth_waiting(100), "once or twice may be chance"
        wait.late(100)
    assert wait.worth_waiting(50)
    assert not wait.worth_waiting(100)
    first = batches_until_retry(wait, 100, 200)
    assert first > 20, "retried after a number of batches"
    for _ in range(3):
        wait.late(100)
    assert batches_until_retry(wait, 100, 200) > 1.5 * first, "retried later after each failure"


def test_occasional_late_calls_change_nothing():
    wait = AdaptiveWait(4096)
    for _ in range(200):
        wait.late(8)
        for _ in range(10):
            wait.in_time(8)
    assert wait.worth_waiting(4096)


def test_the_loop_hardly_ever_waits_for_a_version_that_is_always_slow():
    wait, waited = AdaptiveWait(4096), 0
    for _ in range(20_000):
        if wait.worth_waiting(1):
            waited += 1
            wait.late(1)
    assert waited < 60
