"""The parts on their own: batching, labels, options."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from homeostat.config.errors import ConfigError
from homeostat.gateway.batcher import Batcher, Busy
from homeostat.gateway.labels import KnownLabels, Label
from homeostat.gateway.options import Options
from homeostat.gateway.protocol import Rows
from homeostat.gateway.scoring import PredictFailed, Scorer

NOW = datetime(2026, 1, 5, tzinfo=UTC)


def rows(*values):
    return Rows(len(values), ([float(v) for v in values],))


def scorer(log, *, wait=0.0):
    def predict(batch):
        log.append([r.count for r in batch])
        time.sleep(wait)
        values = np.array([v for r in batch for v in r.columns[0]])
        if (values < 0).any():
            raise ValueError("bad row")
        return SimpleNamespace(prediction=values * 2, confidence=None)

    return Scorer("1", "d", predict)


def test_one_alone_goes_at_once_and_those_that_wait_go_together():
    async def story():
        log = []
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(scorer(log, wait=0.05), pool)
            futures = [batcher.submit(rows(i, i)) for i in range(6)]
            answers = await asyncio.gather(*futures)
        assert log == [[2], [2] * 5]
        assert [a.predictions for a in answers] == [[2.0 * i] * 2 for i in range(6)]

    asyncio.run(story())


def test_a_bad_request_in_a_batch_fails_alone():
    async def story():
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(scorer([], wait=0.02), pool)
            futures = [batcher.submit(rows(value)) for value in (0, 1, -1, 2)]
            done = await asyncio.gather(*futures, return_exceptions=True)
        assert [isinstance(d, PredictFailed) for d in done] == [False, False, True, False]
        assert done[3].predictions == [4.0]

    asyncio.run(story())


def test_the_queue_is_bounded_and_batches_are_too():
    async def story():
        log = []
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(scorer(log, wait=0.05), pool, max_batch_rows=4, max_waiting_rows=10)
            futures = [batcher.submit(rows(1, 1)) for _ in range(6)]
            with pytest.raises(Busy):
                batcher.submit(rows(1, 1))
            await asyncio.gather(*futures)
            await batcher.submit(rows(*[1] * 50))  # larger than a batch, alone: goes as it is
        assert log == [[2], [2, 2], [2, 2], [2], [50]]

    asyncio.run(story())


def test_requests_whose_client_left_are_not_predicted():
    async def story():
        log = []
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(scorer(log, wait=0.03), pool)
            first, second = batcher.submit(rows(1)), batcher.submit(rows(2))
            second.cancel()
            await first
            assert (await batcher.submit(rows(3))).predictions == [6.0]
        assert log == [[1], [1]]

    asyncio.run(story())


def test_the_memory_of_labels_is_bounded_and_the_first_of_an_id_is_kept():
    known = KnownLabels(3)

    def take(*pairs):
        done = known.take([Label(i, v, NOW, NOW) for i, v in pairs])
        return len(done.kept), done.duplicates, len(done.conflicting)

    assert take(("a", "1"), ("a", "1"), ("a", "0"), ("b", "1")) == (2, 1, 1)
    assert take(("c", "1"), ("d", "1"), ("a", "0")) == (3, 0, 0), "a was forgotten; the reader drops it again"
    assert len(known._known) == 3


def test_options_come_from_the_environment_and_a_wrong_one_is_named():
    options = Options.from_env({"HOMEOSTAT_GATEWAY_MAX_ROWS": "7", "HOMEOSTAT_GATEWAY_FLUSH_SECONDS": "0.5"})
    assert (options.max_rows, options.flush_seconds) == (7, 0.5)
    assert Options.from_env({}).gateway != Options.from_env({}).gateway
    with pytest.raises(ConfigError, match="HOMEOSTAT_GATEWAY_MAX_ROWS: found 'many'"):
        Options.from_env({"HOMEOSTAT_GATEWAY_MAX_ROWS": "many"})
    with pytest.raises(ConfigError, match="more than 0"):
        Options.from_env({"HOMEOSTAT_GATEWAY_THREADS": "0"})
